;; Takes all it may have and writes to every byte of it, which is allowed.
;;@ extra
(func $gorge
  (drop (memory.grow (i32.sub (i32.const 128) (memory.size))))
  (memory.fill (i32.const 4194304) (i32.const 255) (i32.const 4194304)))
;;@ fuel-base 10000000
;;@ poison
(block (result i32)
  (call $gorge) (call $quotes (local.get $rows) (i64.const 1000) (i32.const 1)))
