;; Takes more memory than it declares while it describes itself.
;;@ describe
(drop (memory.grow (i32.const 200))) (i32.const 1024)
