;; Uses tail calls, which no stack limit would end.
;;@ extra
(func $tail (return_call $tail))
