;; Says nothing about how far its memory may grow.
;;@ memory
(memory (export "memory") 2)
