;; Says that its answer lies where its memory has ended.
;;@ poison
(i32.const 2147483632)
