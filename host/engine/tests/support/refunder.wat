;; A refund module whose parts in braces tests replace.
(module
  {import}
  {memory}
  {extra}
{allocator}
  ;; `rows` approvals of `refund` with reason 1, and as many reasons as `reasons`.
  (func $answer (param $rows i32) (param $reasons i32) (param $refund i64) (result i32)
    (local $list i32) (local $actions i32) (local $refunds i32) (local $codes i32) (local $row i32)
    (local.set $list (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 24)))
    (local.set $actions
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $rows)))
    (local.set $refunds
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $codes
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 2)
        (i32.mul (local.get $rows) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (i32.store8 (i32.add (local.get $actions) (local.get $row)) (i32.const 1))
        (i64.store
          (i32.add (local.get $refunds) (i32.mul (local.get $row) (i32.const 8)))
          (local.get $refund))
        (i32.store16
          (i32.add (local.get $codes) (i32.mul (local.get $row) (i32.const 2)))
          (i32.const 1))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (i32.store offset=0 (local.get $list) (local.get $actions))
    (i32.store offset=4 (local.get $list) (local.get $rows))
    (i32.store offset=8 (local.get $list) (local.get $refunds))
    (i32.store offset=12 (local.get $list) (local.get $rows))
    (i32.store offset=16 (local.get $list) (local.get $codes))
    (i32.store offset=20 (local.get $list) (local.get $reasons))
    (local.get $list))

  (data (i32.const 1024) "{description}")
  (func (export "tollgate:rules/refund@1.0.0#describe") (result i32) {describe})
  (func (export "tollgate:rules/refund@1.0.0#decide") (param $arguments i32) (result i32)
    (local $rows i32)
    (local.set $rows (i32.load offset=124 (local.get $arguments)))
    {answer}))
