;; Panics instead of saying what it is.
;;@ describe
(unreachable)
