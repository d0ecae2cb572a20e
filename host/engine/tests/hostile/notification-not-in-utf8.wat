;; Writes what is no text.
;;@ for notification
;;@ answer
(block (result i32)
  (local.set $rows (call $answer (i32.const 1) (i32.const 0) (i32.const 4) (i32.const 4)))
  (i32.store8 (i32.load offset=28 (i32.load (local.get $rows))) (i32.const 0xc0))
  (local.get $rows))
