;; Asks for an interface of the host's.
;;@ world
import host: interface { now: func() -> u64; }
;;@ import
(import "host" "now" (func (result i64)))
