;; Calls a function as what it is not.
;;@ extra
(type $taking (func (param i64) (result i32)))
(table 1 1 funcref) (elem (i32.const 0) $alloc)
;;@ poison
(call_indirect (type $taking) (i64.const 0) (i32.const 0))
