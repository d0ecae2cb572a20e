;; Calls itself until the stack is at its end.
;;@ extra
(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))
;;@ poison
(call $down (i32.const 0))
