;; Never gets through its start function.
;;@ extra
(func $s (loop $for-ever (br $for-ever))) (start $s)
