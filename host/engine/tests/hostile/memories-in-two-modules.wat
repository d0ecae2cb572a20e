;; Has a memory in each of two core modules.
(component
  (core module $a (memory 1 128))
  (core module $b (memory 1 128))
  (core instance (instantiate $a))
  (core instance (instantiate $b)))
