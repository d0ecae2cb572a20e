;; A parameter's kind is none of those that there are.
;;@ describe
(i32.store8 offset=8 (i32.load offset=20 (i32.const 1024)) (i32.const 77)) (i32.const 1024)
