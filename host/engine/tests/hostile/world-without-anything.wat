;; A component that does nothing for anybody.
(component)
