;; Chooses the size of its pages.
(component (core module (memory 100 100 (pagesize 1))))
