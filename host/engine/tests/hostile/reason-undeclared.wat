;; Gives a reason that it has not declared.
;;@ poison
(call $quotes (local.get $rows) (i64.const 1000) (i32.const 99))
