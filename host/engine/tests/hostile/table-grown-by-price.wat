;; Grows its table without end when it meets the poison.
;;@ extra
(table $t 1 funcref)
(func $grow (result i32)
  (loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more)) (unreachable))
;;@ poison
(call $grow)
