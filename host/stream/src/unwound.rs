//! Panics as sentences, for threads that have to go on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does the work; a panic becomes what it said. The caller must use nothing any more that the work may have left half
/// done.
pub(crate) fn unwound<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it does not say why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_what_it_said() {
        assert_eq!(unwound(|| 7), Ok(7));
        let number = 7;
        assert_eq!(
            unwound(|| panic!("{number} is too much")),
            Err::<(), _>("7 is too much".into())
        );
        assert_eq!(unwound(|| panic!("a text")), Err::<(), _>("a text".into()));
        let other = unwound(|| std::panic::panic_any(7));
        assert_eq!(other, Err::<(), _>("it does not say why".into()));
    }
}
