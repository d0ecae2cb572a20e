;; Writes about a happening that nobody told it.
;;@ for notification
;;@ answer
(call $answer (i32.const 1) (i32.const 9) (i32.const 4) (i32.const 4))
