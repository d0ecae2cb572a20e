;; Asks the host for no memory at all, again and again.
;;@ extra
(func $beg (result i32) (loop $next (drop (memory.grow (i32.const 0))) (br $next)) (unreachable))
;;@ poison
(call $beg)
