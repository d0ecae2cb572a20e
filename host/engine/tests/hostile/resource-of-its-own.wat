;; Makes handles of its own, whose table the host would have to keep.
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core module $m (import "" "new" (func $new (param i32) (result i32)))
    (func (export "f") (loop $l (drop (call $new (i32.const 1))) (br $l))))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
  (func $f (canon lift (core func $i "f")))
  (export "f" (func $f)))
