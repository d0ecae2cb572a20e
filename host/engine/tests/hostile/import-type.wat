;; Asks for a resource type without asking for a function.
(component (import "handle" (type (sub resource))))
