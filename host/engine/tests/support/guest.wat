;; A pricing module whose parts in braces tests replace.
(module
  {import}
  {memory}
  {extra}
{allocator}
  ;; `rows` quotes of `charge` with reason 1.
  (func $answer (param $rows i32) (param $charge i64) (result i32)
    (call $quotes (local.get $rows) (local.get $charge) (i32.const 1)))

  (func $quotes (param $rows i32) (param $charge i64) (param $reason i32) (result i32)
    (local $quotes i32) (local $charges i32) (local $reasons i32) (local $row i32)
    (local.set $quotes (call $alloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 16)))
    (local.set $charges
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $reasons
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 2)
        (i32.mul (local.get $rows) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (i64.store
          (i32.add (local.get $charges) (i32.mul (local.get $row) (i32.const 8)))
          (local.get $charge))
        (i32.store16
          (i32.add (local.get $reasons) (i32.mul (local.get $row) (i32.const 2)))
          (local.get $reason))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (i32.store offset=0 (local.get $quotes) (local.get $charges))
    (i32.store offset=4 (local.get $quotes) (local.get $rows))
    (i32.store offset=8 (local.get $quotes) (local.get $reasons))
    (i32.store offset=12 (local.get $quotes) (local.get $rows))
    (local.get $quotes))

  ;; The stored price of a click's campaign.
  (func $stored (param $arguments i32) (param $row i32) (result i64)
    (i64.load
      (i32.add
        (i32.load offset=32 (local.get $arguments))
        (i32.mul (i32.const 8)
          (i32.load
            (i32.add
              (i32.load offset=56 (local.get $arguments))
              (i32.mul (local.get $row) (i32.const 4))))))))

  (data (i32.const 1024) "{description}")
  (func (export "tollgate:rules/pricing@1.0.0#describe") (result i32) {describe})
  (func (export "tollgate:rules/pricing@1.0.0#price") (param $arguments i32) (result i32)
    (local $rows i32) (local $row i32)
    (local.set $rows (i32.load offset=60 (local.get $arguments)))
    {answer}))
