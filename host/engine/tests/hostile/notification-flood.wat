;; Writes a thousand messages about one happening.
;;@ for notification
;;@ answer
(call $answer (i32.const 1000) (i32.const 0) (i32.const 4) (i32.const 4))
