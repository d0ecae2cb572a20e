;; Lets a click give money back.
;;@ for threshold
;;@ answer
(call $verdicts (local.get $arguments) (local.get $rows) (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 1))
