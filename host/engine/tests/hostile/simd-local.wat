;; Has a vector among its variables and no vector instruction.
;;@ extra
(func (local v128))
