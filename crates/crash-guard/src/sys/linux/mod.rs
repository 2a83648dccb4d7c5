//! Linux on x86_64 and AArch64.

mod classification;
mod deadline;
mod disposition;
mod exception;
mod handler;
mod landing;
mod modules;
mod probe;
mod record;
mod stack_walk;
mod taint;
mod thread;
mod thrown;

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod arch;

use core::ffi::c_int;
use core::ops::Range;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

pub(crate) use arch::REGISTER_NAMES;
pub(crate) use landing::{barrier, call, call_with, dispatch};
#[cfg(feature = "symbolize")]
pub(crate) use modules::{exported_symbol, modules};
pub(crate) use probe::{copy_in, copy_out, load};
pub(crate) use taint::release_loader_lock;
pub(crate) use thread::remember_mask;

use crate::{Config, Disposition, Error};

/// Every signal that reports a fault.
const FAULT_SIGNALS: &[(c_int, &str)] = &[
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGABRT, "SIGABRT"),
];

/// The usual name of a fault's signal.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    FAULT_SIGNALS.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name)
}

/// Takes the signals; each call must be matched by one of [`uninstall`].
pub(crate) fn install(config: &Config) -> Result<(), Error> {
    let signals = match &config.signals {
        Some(signals) => signals.clone(),
        None => FAULT_SIGNALS.iter().map(|(signal, _)| *signal).collect(),
    };
    if let Some(signal) = signals.iter().find(|signal| signal_name(**signal).is_none()) {
        return Err(Error::NotAFault { signal: *signal });
    }
    let mut installations = installations();
    let is_new_thread = thread::is_new();
    thread::draw_secret();
    thread::wish_alternate_stack(config.alternate_stack);
    let deadline = deadline::choose_signal().ok_or(Error::NoFreeSignal)?;
    // The handler, and what runs when threads end, must not dangle.
    modules::keep(arch::handler());
    static FORK: Once = Once::new();
    // SAFETY: the function stays loaded.
    FORK.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(thread::after_fork));
    });
    exception::learn_own_panic();
    let taken = signals
        .iter()
        .map(|signal| (*signal, true))
        .chain([(deadline, false)])
        .try_for_each(|(signal, is_fault)| disposition::take(signal, is_fault));
    if let Err(error) = taken {
        if *installations == 0 {
            disposition::give_back_all();
        }
        return Err(error);
    }
    disposition::set_installed(true);
    taint::locate();
    if is_new_thread {
        // What was done here was not the thread's first guard, whose mask is remembered.
        thread::renew();
    } else {
        disposition::unblock_fault_signals();
    }
    *installations += 1;
    Ok(())
}

/// Undoes one [`install`]; the last gives the signals back.
pub(crate) fn uninstall() {
    let mut installations = installations();
    *installations -= 1;
    if *installations == 0 {
        disposition::set_installed(false);
        disposition::give_back_all();
    }
}

/// Who handles the signals now, after repairing what a library about to be unmapped would leave
/// dangling.
pub(crate) fn check(unloading: &Range<usize>) -> Vec<(c_int, Disposition)> {
    let _installations = installations();
    disposition::check(unloading)
}

fn installations() -> MutexGuard<'static, usize> {
    static INSTALLATIONS: Mutex<usize> = Mutex::new(0);
    INSTALLATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}
