;; Answers about no click at all.
;;@ poison
(call $quotes (i32.const 0) (i64.const 1000) (i32.const 1))
