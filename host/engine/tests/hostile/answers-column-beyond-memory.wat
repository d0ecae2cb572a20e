;; Says that its prices lie where its memory has ended.
;;@ poison
(block (result i32)
  (local.set $row (call $quotes (local.get $rows) (i64.const 1000) (i32.const 1)))
  (i32.store (local.get $row) (i32.const 2147483632))
  (local.get $row))
