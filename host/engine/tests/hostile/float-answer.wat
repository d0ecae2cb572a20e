;; Its function of the world takes floats.
;;@ world
export fraction: func(of: f64) -> f64;
;;@ extra
(func (export "fraction") (param f64) (result f64) (local.get 0))
