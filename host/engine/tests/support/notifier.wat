;; A notification module whose parts in braces tests replace.
(module
  {import}
  {memory}
  {extra}
{allocator}
  ;; `rows` messages about the happenings from `first` on, with texts of these lengths.
  (func $answer (param $rows i32) (param $first i32) (param $title i32) (param $body i32)
    (result i32)
    (local $list i32) (local $message i32) (local $text i32) (local $row i32)
    (local.set $list (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 8)))
    (local.set $text (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16384)))
    (memory.fill (local.get $text) (i32.const 120) (i32.const 16384))
    (local.set $message
      (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
        (i32.mul (local.get $rows) (i32.const 40))))
    (i32.store offset=0 (local.get $list) (local.get $message))
    (i32.store offset=4 (local.get $list) (local.get $rows))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (i32.store offset=0 (local.get $message) (i32.add (local.get $first) (local.get $row)))
        (i32.store8 offset=4 (local.get $message) (i32.const 1))
        (i32.store offset=8 (local.get $message) (local.get $text))
        (i32.store offset=12 (local.get $message) (i32.const 4))
        (i32.store8 offset=16 (local.get $message) (i32.const 2))
        (i32.store offset=20 (local.get $message) (local.get $text))
        (i32.store offset=24 (local.get $message) (local.get $title))
        (i32.store offset=28 (local.get $message) (local.get $text))
        (i32.store offset=32 (local.get $message) (local.get $body))
        (i32.store offset=36 (local.get $message) (i32.const 7))
        (local.set $message (i32.add (local.get $message) (i32.const 40)))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (local.get $list))

  (data (i32.const 1024) "{description}")
  (func (export "tollgate:rules/notification@1.0.0#describe") (result i32) {describe})
  (func (export "tollgate:rules/notification@1.0.0#compose")
    (param $params i32) (param $values i32) (param $happenings i32) (param $rows i32)
    (result i32)
    {answer}))
