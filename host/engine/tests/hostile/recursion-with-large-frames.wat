;; As deep, with frames as large as a few hundred variables make them.
;;@ extra
(func $dig (param i64) (result i64) (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
  (local.set 1 (i64.add (local.get 0) (i64.const 1))) (local.set 2 (i64.mul (local.get 1) (i64.const 3)))
  (local.set 3 (i64.xor (local.get 2) (local.get 1))) (local.set 4 (i64.add (local.get 3) (local.get 2)))
  (local.set 5 (call $dig (local.get 4))) (local.set 6 (call $dig (local.get 3)))
  (local.set 7 (call $dig (local.get 2))) (local.set 8 (call $dig (local.get 1)))
  (i64.add (i64.add (i64.add (local.get 1) (local.get 2)) (i64.add (local.get 3) (local.get 4)))
    (i64.add (i64.add (local.get 5) (local.get 6)) (i64.add (local.get 7) (local.get 8)))))
;;@ poison
(i32.wrap_i64 (call $dig (i64.const 1)))
