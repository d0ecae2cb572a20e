;; A threshold module whose parts in braces tests replace.
(module
  {import}
  {memory}
  {extra}
{allocator}
  (func $column (param $rows i32) (param $bytes i32) (result i32)
    (call $alloc (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.mul (local.get $rows) (local.get $bytes))))

  ;; `rows` verdicts, all alike; the columns follow each other from `verdicts` on, with their lengths.
  (func $verdicts (param $arguments i32) (param $rows i32) (param $action i32) (param $level i32)
    (param $allowed i64) (param $reason i32) (result i32)
    (local $verdicts i32) (local $row i32)
    (local.set $verdicts (call $column (i32.const 5) (i32.const 8)))
    (i32.store offset=0 (local.get $verdicts) (call $column (local.get $rows) (i32.const 1)))
    (i32.store offset=8 (local.get $verdicts) (call $column (local.get $rows) (i32.const 4)))
    (i32.store offset=16 (local.get $verdicts) (call $column (local.get $rows) (i32.const 4)))
    (i32.store offset=24 (local.get $verdicts) (call $column (local.get $rows) (i32.const 8)))
    (i32.store offset=32 (local.get $verdicts) (call $column (local.get $rows) (i32.const 2)))
    (i32.store offset=4 (local.get $verdicts) (local.get $rows))
    (i32.store offset=12 (local.get $verdicts) (local.get $rows))
    (i32.store offset=20 (local.get $verdicts) (local.get $rows))
    (i32.store offset=28 (local.get $verdicts) (local.get $rows))
    (i32.store offset=36 (local.get $verdicts) (local.get $rows))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (i32.store8
          (i32.add (i32.load offset=0 (local.get $verdicts)) (local.get $row))
          (local.get $action))
        (i32.store
          (i32.add
            (i32.load offset=8 (local.get $verdicts))
            (i32.mul (local.get $row) (i32.const 4)))
          (local.get $level))
        (i64.store
          (i32.add
            (i32.load offset=24 (local.get $verdicts))
            (i32.mul (local.get $row) (i32.const 8)))
          (local.get $allowed))
        (i32.store16
          (i32.add
            (i32.load offset=32 (local.get $verdicts))
            (i32.mul (local.get $row) (i32.const 2)))
          (local.get $reason))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (local.get $verdicts))

  (data (i32.const 1024) "{description}")
  (func (export "tollgate:rules/threshold@1.0.0#describe") (result i32) {describe})
  (func (export "tollgate:rules/threshold@1.0.0#judge") (param $arguments i32) (result i32)
    (local $rows i32)
    (local.set $rows (i32.load offset=124 (local.get $arguments)))
    {answer}))
