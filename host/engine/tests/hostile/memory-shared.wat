;; Shares its memory between threads.
;;@ memory
(memory (export "memory") 2 128 shared)
