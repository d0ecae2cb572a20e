;; Passes floats between its own functions and never calculates with them.
;;@ extra
(func (param f32))
