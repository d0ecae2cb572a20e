;; Calls its own export from inside, through the component model.
(component
  (core module $a (func (export "f")))
  (core instance $a (instantiate $a))
  (func $f (canon lift (core func $a "f")))
  (core func $lowered (canon lower (func $f)))
  (core module $b (import "" "f" (func $f)) (func (export "g") (call $f)))
  (core instance $b (instantiate $b (with "" (instance (export "f" (func $lowered))))))
  (func $g (canon lift (core func $b "g")))
  (export "g" (func $g)))
