;; Writes a message that no channel takes.
;;@ for notification
;;@ answer
(call $answer (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 16000))
