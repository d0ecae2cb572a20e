;; Says that its answer lies at an odd address.
;;@ poison
(i32.const 4097)
