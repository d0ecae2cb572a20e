;; Has a second memory beside the bounded one.
;;@ extra
(memory 1 2)
