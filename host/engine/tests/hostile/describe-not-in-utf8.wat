;; Its name is no text.
;;@ describe
(i32.store8 (i32.load (i32.const 1024)) (i32.const 255)) (i32.const 1024)
