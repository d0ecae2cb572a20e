;; Claims that its price is the cached one.
;;@ poison
(call $quotes (local.get $rows) (i64.const 1000) (i32.const 3))
