;; Calls an element of a table that was never filled.
;;@ extra
(type $none (func (result i32)))
(table 2 2 funcref)
;;@ poison
(call_indirect (type $none) (i32.const 1))
