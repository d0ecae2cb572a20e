;; Hides the float behind a trap, where it can never run.
;;@ extra
(func (unreachable) (drop (f32.neg)))
