;; Begins with a table of a hundred million elements.
;;@ extra
(table 100000000 funcref)
