;; Gives all of its memory as an answer.
;;@ poison
(block (result i32)
  (drop (memory.grow (i32.sub (i32.const 128) (memory.size))))
  (local.set $row (call $quotes (local.get $rows) (i64.const 1000) (i32.const 1)))
  (i32.store (local.get $row) (i32.const 0))
  (i32.store offset=4 (local.get $row) (i32.const 1048576))
  (local.get $row))
