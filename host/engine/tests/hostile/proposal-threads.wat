;; Uses atomic instructions.
;;@ extra
(func (atomic.fence))
