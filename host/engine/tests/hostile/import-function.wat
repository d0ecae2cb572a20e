;; Asks the host for a clock.
;;@ world
import clock: func() -> u64;
;;@ import
(import "$root" "clock" (func (result i64)))
