;; Leaves out the last movement.
;;@ for threshold
;;@ answer
(call $verdicts (local.get $arguments) (i32.sub (local.get $rows) (i32.const 1)) (i32.const 0) (i32.const 0) (i64.const 1) (i32.const 1))
