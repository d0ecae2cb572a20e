;; Moves eight bytes through memory as a float, so that no arithmetic is to be seen.
;;@ extra
(func (f64.store (i32.const 64) (f64.load (i32.const 72))))
