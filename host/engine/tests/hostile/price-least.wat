;; Charges the least number, which has no opposite.
;;@ poison
(call $quotes (local.get $rows) (i64.const -9223372036854775808) (i32.const 1))
