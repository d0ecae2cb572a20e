;; Pays for clicks.
;;@ poison
(call $quotes (local.get $rows) (i64.const -1) (i32.const 1))
