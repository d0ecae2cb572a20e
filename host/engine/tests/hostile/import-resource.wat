;; Asks for a handle to something of the host's.
;;@ world
import files: interface { resource file; }
;;@ import
(import "files" "[resource-drop]file" (func (param i32)))
