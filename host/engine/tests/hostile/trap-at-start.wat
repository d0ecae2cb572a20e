;; Panics before anybody calls it.
;;@ extra
(func $s (unreachable)) (start $s)
