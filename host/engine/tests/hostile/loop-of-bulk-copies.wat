;; Copies megabytes with one instruction each, in the hope that an instruction is an instruction.
;;@ extra
(func $shovel (result i32)
  (drop (memory.grow (i32.sub (i32.const 128) (memory.size))))
  (loop $next
    (memory.copy (i32.const 4194304) (i32.const 0) (i32.const 4194304))
    (memory.fill (i32.const 4194304) (i32.const 7) (i32.const 4194304))
    (br $next))
  (unreachable))
;;@ poison
(call $shovel)
