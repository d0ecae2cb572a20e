;; May grow to one page more than allowed.
;;@ memory
(memory (export "memory") 2 129)
