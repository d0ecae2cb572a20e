;; Has data that lies beyond its memory.
;;@ extra
(data (i32.const 131070) "beyond")
