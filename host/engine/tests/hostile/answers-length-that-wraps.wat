;; Gives so many prices that their size in bytes wraps around to few.
;;@ poison
(block (result i32)
  (local.set $row (call $quotes (local.get $rows) (i64.const 1000) (i32.const 1)))
  (i32.store offset=4 (local.get $row) (i32.const 0x20000001))
  (local.get $row))
