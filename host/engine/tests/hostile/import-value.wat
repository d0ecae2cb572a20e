;; Asks for a value at instantiation.
(component (import "seed" (value u64)))
