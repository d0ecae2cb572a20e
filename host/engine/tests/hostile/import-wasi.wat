;; Asks for the environment, as a module does that was built for WASI.
;;@ package
package wasi:cli@0.2.0 { interface environment { get-arguments: func() -> list<string>; } }
;;@ world
import wasi:cli/environment@0.2.0;
;;@ import
(import "wasi:cli/environment@0.2.0" "get-arguments" (func (param i32)))
