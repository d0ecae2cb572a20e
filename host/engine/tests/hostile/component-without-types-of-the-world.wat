;; A core module whose start function loops, wrapped in a component that exports nothing.
(component
  (core module $m (func $s (loop $l (br $l))) (start $s))
  (core instance (instantiate $m)))
