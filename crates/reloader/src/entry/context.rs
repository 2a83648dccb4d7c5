//! The 32 bytes that host and guest share: the plugin's own, or the host's.

use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::contract::{Context, FailureCode};

/// The context of a plugin, at an address that stays while a call is under way.
#[derive(Debug)]
pub(crate) struct Shared {
    own: Box<Context>,
    /// The host's, or null. An atomic for its being sendable only.
    lent: AtomicPtr<Context>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let own = Context {
            host: AtomicPtr::default(),
            userdata: AtomicPtr::default(),
            version: 0,
            failure: FailureCode::NONE,
            next_version: 1,
            last_working_version: 0,
        };
        Self { own: Box::new(own), lent: AtomicPtr::new(ptr::null_mut()) }
    }

    /// From now on `context` is the plugin's, or its own again with null.
    ///
    /// # Safety
    /// It must stay valid, and nobody else may hold a reference to it, until the next one is lent
    /// or this is dropped.
    #[inline]
    pub(crate) unsafe fn lend(&mut self, context: *mut Context) {
        *self.lent.get_mut() = context;
    }
}

impl Deref for Shared {
    type Target = Context;

    #[inline]
    fn deref(&self) -> &Context {
        // SAFETY: whoever lent it promised that it is valid and not referred to elsewhere.
        unsafe { self.lent.load(Ordering::Relaxed).as_ref() }.unwrap_or(&self.own)
    }
}

impl DerefMut for Shared {
    #[inline]
    fn deref_mut(&mut self) -> &mut Context {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.lent.get_mut().as_mut() }.unwrap_or(&mut self.own)
    }
}
