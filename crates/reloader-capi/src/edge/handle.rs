//! An open plugin behind its pointer.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CString, c_char};
use std::sync::atomic::{AtomicBool, Ordering};

use reloader::{Context, FailureCode};

use super::pointers::null;
use crate::plugin::Plugin;
use crate::status::{Problem, Status};

/// `reloader`.
///
/// `cr.h` knows the first two members, as hosts of cr have always been able to look them up.
#[repr(C)]
pub struct Handle {
    pub(super) path: Cell<*const c_char>,
    pub(super) temp_dir: Cell<*const c_char>,
    /// A call is under way.
    pub(super) busy: AtomicBool,
    pub(super) body: UnsafeCell<Body>,
}

pub(super) struct Body {
    pub(super) plugin: Plugin,
    /// What `path` leads to.
    pub(super) _path: CString,
    pub(super) temp_dir: CString,
}

impl Handle {
    /// Whether nobody is at work on the plugin; from now on somebody is.
    #[inline]
    pub(super) fn enter(&self) -> bool {
        // Calls from inside a call are what it finds out: they are on the same thread.
        let free = !self.busy.load(Ordering::Relaxed);
        if free {
            self.busy.store(true, Ordering::Relaxed);
        }
        free
    }

    #[inline]
    pub(super) fn leave(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }
}

/// Works on a plugin that nobody else works on.
///
/// # Safety
/// `plugin` is null or was handed out and has not been closed, and no other thread uses it.
#[inline]
pub(super) unsafe fn with<T>(
    plugin: *mut Handle,
    work: impl FnOnce(&mut Body) -> Result<T, Problem>,
) -> Result<T, Problem> {
    struct Leaving<'a>(&'a Handle);
    impl Drop for Leaving<'_> {
        fn drop(&mut self) {
            self.0.leave();
        }
    }
    // SAFETY: as the caller promises; only the part inside the cell is ever borrowed exclusively.
    let handle = unsafe { plugin.as_ref() }.ok_or_else(|| null("plugin"))?;
    if !handle.enter() {
        return Err(busy());
    }
    let _leaving = Leaving(handle);
    // SAFETY: it was not busy, so nobody on this thread has borrowed it, and no other thread uses
    // it.
    work(unsafe { &mut *handle.body.get() })
}

/// Lends a context that nothing has been written to but `userdata`.
///
/// # Safety
/// It is valid until the plugin is closed.
pub(super) unsafe fn lend_fresh(plugin: &mut Plugin, context: *mut Context) {
    // SAFETY: as the caller promises; the members are written one by one, as they may not be
    // initialised.
    unsafe {
        (&raw mut (*context).version).write(0);
        (&raw mut (*context).failure).write(FailureCode::NONE);
        (&raw mut (*context).next_version).write(1);
        (&raw mut (*context).last_working_version).write(0);
        plugin.plugin.lend_context(context);
    }
}

#[cold]
pub(super) fn busy() -> Problem {
    Problem::new(Status::Busy, "another call for this plugin is under way")
}
