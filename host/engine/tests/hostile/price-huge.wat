;; Charges all the money there is.
;;@ poison
(call $quotes (local.get $rows) (i64.const 9223372036854775807) (i32.const 1))
