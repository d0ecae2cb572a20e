;; Takes all memory, and more, before anybody calls it.
;;@ extra
(func $hoard (loop $more (drop (memory.grow (i32.const 16))) (br $more)))
(start $hoard)
