;; Adds eight prices at once.
;;@ extra
(func (drop (i64x2.add (v128.const i64x2 1 2) (v128.const i64x2 3 4))))
