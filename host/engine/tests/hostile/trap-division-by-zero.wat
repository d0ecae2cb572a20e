;; Divides by the part of the price that is zero for the poison alone.
;;@ poison
(i32.wrap_i64 (i64.div_s (i64.const 1)
  (i64.sub (call $stored (local.get $arguments) (local.get $row)) (call $stored (local.get $arguments) (local.get $row)))))
