;; Writes a message longer than its memory.
;;@ for notification
;;@ answer
(call $answer (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 90000000))
