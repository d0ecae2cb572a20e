;; Two functions that call each other a million times, and again, without going deep.
;;@ extra
(func $ping (param i32) (result i32) (call $pong (local.get 0)))
(func $pong (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
(func $rally (result i32)
  (local $ball i32)
  (loop $next (local.set $ball (call $ping (local.get $ball))) (br $next)) (unreachable))
;;@ poison
(call $rally)
