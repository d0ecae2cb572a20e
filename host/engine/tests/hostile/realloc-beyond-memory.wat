;; Wants what it is asked to be written beyond its memory.
;;@ realloc
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const -16))
