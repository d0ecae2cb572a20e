;; Answers about a click that nobody asked about.
;;@ poison
(call $quotes (i32.add (local.get $rows) (i32.const 1)) (i64.const 1000) (i32.const 1))
