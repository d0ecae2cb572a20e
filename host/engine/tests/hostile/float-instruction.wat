;; Adds prices as floating-point numbers.
;;@ extra
(func (param i64 i64) (result i64)
  (i64.trunc_f64_s (f64.add (f64.convert_i64_s (local.get 0)) (f64.convert_i64_s (local.get 1)))))
