;; Forty thousand parameters that all name the same megabytes, which the host would copy for each.
;;@ memory
(memory (export "memory") 128 128)
;;@ extra
(func $fill (local $at i32) (local.set $at (i32.const 4096))
  (i32.store (i32.const 1144) (i32.const 3000000))
  (i32.store (i32.const 1148) (i32.const 5000000))
  (loop $next (memory.copy (local.get $at) (i32.const 1080) (i32.const 72))
    (local.set $at (i32.add (local.get $at) (i32.const 72)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 2884096))))
  (i32.store (i32.const 1044) (i32.const 4096))
  (i32.store (i32.const 1048) (i32.const 40000)))
;;@ describe
(call $fill) (i32.const 1024)
