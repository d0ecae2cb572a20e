;; Hides the float in the type of a block.
;;@ extra
(func (drop (block (result f32) (unreachable))))
