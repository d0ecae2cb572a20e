;; Grows its table without end before anybody calls it.
;;@ extra
(table $t 1 funcref)
(func $hoard (loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more)))
(start $hoard)
