;; Takes all it may have, page by page, and one page more.
;;@ extra
(func $hoard (result i32) (loop $more (drop (memory.grow (i32.const 1))) (br $more)) (unreachable))
;;@ poison
(call $hoard)
