;; May grow to 4 GiB.
;;@ memory
(memory (export "memory") 2 65536)
