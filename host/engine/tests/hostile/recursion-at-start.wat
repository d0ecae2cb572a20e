;; Calls itself without end before anybody calls it.
;;@ extra
(func $sink (call $sink) (call $sink)) (start $sink)
