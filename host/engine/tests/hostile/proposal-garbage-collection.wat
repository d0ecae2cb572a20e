;; Lets the host collect its garbage.
;;@ extra
(type $box (struct (field i32)))
(func (drop (struct.new $box (i32.const 1))))
