;; Chooses the size of its pages.
;;@ memory
(memory (export "memory") 131072 131072 (pagesize 1))
