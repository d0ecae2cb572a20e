;; Makes a NaN by reinterpreting an integer and hands its bits on as an integer again.
;;@ extra
(func (result i64) (i64.reinterpret_f64 (f64.reinterpret_i64 (i64.const 0x7ff8000000000001))))
