;; Is a pricing rule and something else.
;;@ world
export extra: func();
;;@ extra
(func (export "extra"))
