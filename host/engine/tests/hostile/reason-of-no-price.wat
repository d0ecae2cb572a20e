;; Gives a reason that is none for a price.
;;@ poison
(call $quotes (local.get $rows) (i64.const 1000) (i32.const 4))
