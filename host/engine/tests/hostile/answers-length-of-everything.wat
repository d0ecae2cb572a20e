;; Gives as many prices as a length can say.
;;@ poison
(block (result i32)
  (local.set $row (call $quotes (local.get $rows) (i64.const 1000) (i32.const 1)))
  (i32.store offset=4 (local.get $row) (i32.const -1))
  (local.get $row))
