;; Exports functions of the right names that take and give nothing.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $rule (export "describe" (func $f)) (export "price" (func $f)))
  (export "tollgate:rules/pricing@1.0.0" (instance $rule)))
