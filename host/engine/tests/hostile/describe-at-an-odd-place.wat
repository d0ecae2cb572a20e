;; Its description lies at an odd address.
;;@ describe
(i32.const 1025)
