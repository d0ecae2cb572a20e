;; Divides, which is the slowest thing that an integer can do.
;;@ extra
(func $divide (result i32)
  (local $n i64)
  (local.set $n (i64.const -1))
  (loop $next
    (local.set $n (i64.sub (i64.const -1) (i64.div_u (local.get $n) (i64.const 3))))
    (br $next))
  (unreachable))
;;@ poison
(call $divide)
