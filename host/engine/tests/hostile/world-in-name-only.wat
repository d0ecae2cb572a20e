;; Exports the interface's name, and in it nothing.
(component
  (component $nothing)
  (instance $rule (instantiate $nothing))
  (export "tollgate:rules/pricing@1.0.0" (instance $rule)))
