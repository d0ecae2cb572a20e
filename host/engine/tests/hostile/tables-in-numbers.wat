;; Has three tables where the pool has room for two.
;;@ extra
(table 1 funcref) (table 1 funcref) (table 1 funcref)
