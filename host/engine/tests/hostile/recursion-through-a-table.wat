;; Calls itself through a table, which no call graph shows.
;;@ extra
(type $again (func (result i32)))
(table 1 1 funcref) (elem (i32.const 0) $around)
(func $around (type $again) (i32.add (i32.const 1) (call_indirect (type $again) (i32.const 0))))
;;@ poison
(call $around)
