//! Which signals an image handles, and threads that handle none.

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

/// Runs `start`, which may start threads: the signals that are sent to a process are not delivered
/// to those. What a thread itself does wrong is, and so are the real-time signals, one of which
/// asks threads where they are.
pub(crate) fn undisturbed<T>(start: impl FnOnce() -> T) -> T {
    const OWN: [i32; 7] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGABRT,
    ];
    // SAFETY: the sets are written before they are read, zero is a valid value of theirs, and the
    // thread gets back the mask that it had.
    let before = unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut blocked);
        for signal in (1..32).filter(|signal| !OWN.contains(signal)) {
            libc::sigaddset(&raw mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before);
        before
    };
    let started = start();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    started
}
