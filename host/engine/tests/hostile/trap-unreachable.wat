;; Panics on the poison.
;;@ poison
(unreachable)
