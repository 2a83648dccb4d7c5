//! Symbols of the running version.
#![allow(unsafe_code, reason = "a symbol has the type that the caller says")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::Plugin;
use crate::error::{Error, ErrorKind};
use crate::sys;

/// A symbol of a version, usable for as long as that version runs: it borrows the plugin, which
/// cannot be stepped meanwhile.
#[derive(Clone, Copy)]
pub struct Symbol<'plugin, T> {
    value: T,
    version: u32,
    plugin: PhantomData<&'plugin Plugin>,
}

impl<T> Symbol<'_, T> {
    /// The version it belongs to.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl<T> Deref for Symbol<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Symbol<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbol")
            .field("value", &self.value)
            .field("version", &self.version)
            .finish()
    }
}

impl Plugin {
    /// A function or variable that the running version exports: `T` is a function pointer or a raw
    /// pointer.
    ///
    /// A call through it is the host's own: it is not guarded (see `crash_guard::call_fn` for
    /// that).
    ///
    /// # Safety
    /// `T` must be a pointer to what the symbol really is.
    ///
    /// # Errors
    /// When no version runs, or it exports no such symbol.
    pub unsafe fn symbol<T: Copy>(&self, name: &str) -> Result<Symbol<'_, T>, Error> {
        const { assert!(size_of::<T>() == size_of::<*const ()>(), "T is a pointer") };
        let version = self.current()?;
        // The loader looks in the libraries that it needs as well.
        let own = |address: &std::ptr::NonNull<_>| version.range().contains(&address.addr().get());
        let address = sys::symbol(version.handle(), name).filter(own).ok_or_else(|| {
            let message = format!("version {} exports no symbol {name:?}", version.number());
            Error::new(ErrorKind::NoSymbol, message).at(self.path())
        })?;
        // SAFETY: `T` is as large as a pointer, and the caller says that it is one to this symbol,
        // which is not null.
        let value = unsafe { std::mem::transmute_copy::<_, T>(&address) };
        Ok(Symbol { value, version: version.number(), plugin: PhantomData })
    }
}
