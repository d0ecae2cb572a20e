;; Each level makes two of the level below: a handful of lines, and a million instances to be laid out by the compiler.
(component
  (component $a)
  (component $b (alias outer 1 $a (component $a)) (instance (instantiate $a)) (instance (instantiate $a)))
  (component $c (alias outer 1 $b (component $b)) (instance (instantiate $b)) (instance (instantiate $b)))
  (component $d (alias outer 1 $c (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
  (component $e (alias outer 1 $d (component $d)) (instance (instantiate $d)) (instance (instantiate $d)))
  (component $f (alias outer 1 $e (component $e)) (instance (instantiate $e)) (instance (instantiate $e)))
  (instance (instantiate $f)) (instance (instantiate $f)))
