;; Uses the poison's price as an address.
;;@ poison
(i32.load (i32.sub (i32.const -13000013)
  (i32.wrap_i64 (call $stored (local.get $arguments) (local.get $row)))))
