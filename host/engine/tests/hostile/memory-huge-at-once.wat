;; Begins with 4 GiB.
;;@ memory
(memory (export "memory") 65536 65536)
