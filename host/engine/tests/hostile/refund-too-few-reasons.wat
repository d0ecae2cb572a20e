;; Gives fewer reasons than decisions.
;;@ for refund
;;@ answer
(call $answer (local.get $rows) (i32.const 0) (i64.const 5))
