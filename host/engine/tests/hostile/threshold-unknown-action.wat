;; Asks for an action that there is not.
;;@ for threshold
;;@ answer
(call $verdicts (local.get $arguments) (local.get $rows) (i32.const 9) (i32.const 900000) (i64.const 1) (i32.const 1))
