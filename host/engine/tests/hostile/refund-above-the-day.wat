;; Gives back more than the day has.
;;@ for refund
;;@ answer
(call $answer (local.get $rows) (local.get $rows) (i64.const 9223372036854775807))
