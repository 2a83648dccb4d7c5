//! Which signals an image handles.

use std::ops::Range;

/// The first signal whose handler lies in `range`.
pub(crate) fn handled_signal(range: &Range<usize>) -> Option<i32> {
    (1..=libc::SIGRTMAX()).find(|&signal| {
        // SAFETY: `sigaction` writes the structure, of which zero is a valid value; nothing is
        // changed.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
                && range.contains(&action.sa_sigaction)
        }
    })
}
