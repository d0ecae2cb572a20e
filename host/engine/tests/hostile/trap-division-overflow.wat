;; Divides the least number by -1, which has no answer.
;;@ poison
(i32.wrap_i64 (i64.div_s (i64.const -9223372036854775808) (i64.const -1)))
