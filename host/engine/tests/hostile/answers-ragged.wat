;; Gives a price for every click and a reason for fewer.
;;@ poison
(block (result i32)
  (local.set $row (call $quotes (local.get $rows) (i64.const 1000) (i32.const 1)))
  (i32.store offset=12 (local.get $row) (i32.const 0))
  (local.get $row))
