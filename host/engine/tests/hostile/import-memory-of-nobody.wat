;; Its core module imports a memory that nobody gives it.
(component
  (core module $m (import "host" "memory" (memory 1 2)))
  (core instance (instantiate $m)))
