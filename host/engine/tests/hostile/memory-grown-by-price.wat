;; Asks for 4 GiB when it meets the poison.
;;@ poison
(block (result i32) (drop (memory.grow (i32.const 65535))) (i32.const 0))
