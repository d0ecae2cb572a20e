;; Multiplies to 128 bits.
;;@ extra
(func (result i64 i64) (i64.mul_wide_u (i64.const 2) (i64.const 3)))
