;; Asks for a core module, and through it for a memory that is not its own.
(component
  (import "shared" (core module (export "memory" (memory 1)))))
