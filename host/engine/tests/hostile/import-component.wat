;; Asks for another component to call.
(component (import "helper" (component (export "f" (func)))))
