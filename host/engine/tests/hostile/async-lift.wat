;; Answers some time later.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f async (canon lift (core func $i "f") async))
  (export "f" (func $f)))
