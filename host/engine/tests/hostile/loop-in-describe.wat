;; Never says what it is.
;;@ describe
(loop $for-ever (br $for-ever)) (unreachable)
