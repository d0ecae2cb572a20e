;; Wants what it is asked at an odd address.
;;@ realloc
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8193))
