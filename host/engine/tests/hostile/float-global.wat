;; Keeps a float in a global.
;;@ extra
(global (mut f64) (f64.const 0))
