;; Its name is all of its memory.
;;@ describe
(drop (memory.grow (i32.sub (i32.const 128) (memory.size))))
(memory.fill (i32.const 65536) (i32.const 97) (i32.const 8323072))
(i32.store (i32.const 1024) (i32.const 65536)) (i32.store (i32.const 1028) (i32.const 8323072))
(i32.const 1024)
