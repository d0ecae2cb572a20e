;; Addresses its memory with 64 bits.
(component (core module (memory i64 1 2)))
