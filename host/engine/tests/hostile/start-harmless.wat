;; Has a start function that does no harm.
;;@ extra
(global $ready (mut i32) (i32.const 0))
(func $s (global.set $ready (i32.const 1))) (start $s)
