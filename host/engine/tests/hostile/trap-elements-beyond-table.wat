;; Has elements that lie beyond its table.
;;@ extra
(table 1 1 funcref) (elem (i32.const 1) $alloc)
