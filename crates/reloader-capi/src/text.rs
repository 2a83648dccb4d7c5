//! Text for C.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

/// The text up to its first NUL.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// What the last call on this thread that failed had to say.
pub(crate) fn say(message: &str) {
    // A thread that ends has nobody to tell.
    let _ = MESSAGE.try_with(|it| *it.borrow_mut() = c_string(message));
}

/// Lives until something else is said on this thread.
pub(crate) fn said() -> *const c_char {
    const NOTHING: &CStr = c"";
    MESSAGE.try_with(|it| it.borrow().as_ptr()).unwrap_or(NOTHING.as_ptr())
}
