;; Allows a click to charge more than it costs.
;;@ for threshold
;;@ answer
(call $verdicts (local.get $arguments) (local.get $rows) (i32.const 0) (i32.const 0) (i64.const 9223372036854775807) (i32.const 1))
