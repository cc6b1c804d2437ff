//! Turns a panic into an error: a fault of the codec is an error of one batch, never of the process.
//!
//! The message says where in the source it happened and why. Nothing is printed: a panic of this library is reported
//! by whoever called it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

static QUIET: Once = Once::new();

fn remember(info: &PanicHookInfo) {
    let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
    PLACE.with(|slot| *slot.borrow_mut() = place);
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Does the work; if it panics, says so.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    QUIET.call_once(|| set_hook(Box::new(remember)));
    // What a panicking work has left behind is thrown away by the caller.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let place = PLACE.with(|slot| slot.take());
        format!("{}{place}", words(&*payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_place() {
        let failed = caught(|| panic!("no {}", "luck")).unwrap_err();

        assert!(failed.starts_with("no luck at src/panics.rs:"), "{failed}");
        assert_eq!(caught(|| 7), Ok(7));
    }
}
