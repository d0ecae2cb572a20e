;; Throws exceptions.
;;@ extra
(tag $t)
(func (throw $t))
