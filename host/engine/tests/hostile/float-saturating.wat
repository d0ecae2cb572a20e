;; Converts by the newer instructions, whose prefix others have as well.
;;@ extra
(func (param f32) (result i32) (i32.trunc_sat_f32_u (local.get 0)))
