;; Its description lies beyond its memory.
;;@ describe
(i32.const 2147483640)
