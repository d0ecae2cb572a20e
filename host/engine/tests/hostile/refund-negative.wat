;; Takes money in the name of a refund.
;;@ for refund
;;@ answer
(call $answer (local.get $rows) (local.get $rows) (i64.const -5))
