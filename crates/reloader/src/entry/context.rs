//! The 32 bytes that host and guest share: the plugin's own, or the host's.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::contract::{Context, FailureCode};

/// The context of a plugin, at an address that stays while a call is under way.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The plugin's own or the host's, never null. An atomic for its being sendable only.
    current: AtomicPtr<Context>,
    own: AtomicPtr<Context>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let own = Box::into_raw(Box::new(Context {
            host: AtomicPtr::default(),
            userdata: AtomicPtr::default(),
            version: 0,
            failure: FailureCode::NONE,
            next_version: 1,
            last_working_version: 0,
        }));
        Self { current: AtomicPtr::new(own), own: AtomicPtr::new(own) }
    }

    /// From now on `context` is the plugin's, or its own again with null.
    ///
    /// # Safety
    /// It must stay valid, and nobody else may hold a reference to it, until the next one is lent
    /// or this is dropped.
    #[inline]
    pub(crate) unsafe fn lend(&mut self, context: *mut Context) {
        let context = if context.is_null() { *self.own.get_mut() } else { context };
        // Hosts lend the same one all the time, and a comparison costs less than a store.
        if *self.current.get_mut() != context {
            *self.current.get_mut() = context;
        }
    }

    /// Where it is; good until another is lent.
    #[inline]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut Context {
        *self.current.get_mut()
    }
}

impl Deref for Shared {
    type Target = Context;

    #[inline]
    fn deref(&self) -> &Context {
        // SAFETY: its own is valid as long as it is; whoever lent another promised that that is
        // valid and not referred to elsewhere.
        unsafe { &*self.current.load(Ordering::Relaxed) }
    }
}

impl DerefMut for Shared {
    #[inline]
    fn deref_mut(&mut self) -> &mut Context {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { &mut *self.as_mut_ptr() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: it was made by `new`, and nothing but `self` led to it.
        drop(unsafe { Box::from_raw(*self.own.get_mut()) });
    }
}
