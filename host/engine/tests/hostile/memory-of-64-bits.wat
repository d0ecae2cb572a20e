;; Addresses its memory with 64 bits.
;;@ extra
(memory i64 1 2)
