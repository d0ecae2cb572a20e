;; Calls itself without end while it describes itself.
;;@ extra
(func $deep (result i32) (i32.add (i32.const 1) (call $deep)))
;;@ describe
(call $deep)
