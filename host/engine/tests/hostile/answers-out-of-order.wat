;; Gives the stored prices, each to the click before.
;;@ extra
(func $shifted (param $arguments i32) (param $rows i32) (result i32)
  (local $quotes i32) (local $row i32)
  (local.set $quotes (call $quotes (local.get $rows) (i64.const 0) (i32.const 2)))
  (loop $next
    (i64.store
      (i32.add (i32.load (local.get $quotes)) (i32.mul (i32.const 8) (local.get $row)))
      (call $stored (local.get $arguments)
        (i32.rem_u (i32.add (local.get $row) (i32.const 1)) (local.get $rows))))
    (local.set $row (i32.add (local.get $row) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $row) (local.get $rows))))
  (local.get $quotes))
;;@ poison
(call $shifted (local.get $arguments) (local.get $rows))
