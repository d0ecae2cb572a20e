;; Never answers about the poison.
;;@ poison
(block (result i32) (loop $for-ever (br $for-ever)) (unreachable))
