//! Run code that may fault and come back with the fault instead of dying.
//!
//! A guarded call goes through one frame written in assembly, which saves what a function must
//! preserve and returns exactly once. When the code inside faults, the signal handler does not
//! jump: it writes a [`Fault`] into that frame's landing, edits the interrupted context so that
//! the thread goes on there, and returns. The kernel then restores signal mask and alternate
//! stack as after every signal, and the caller sees an ordinary function that returned `Err`.
//!
//! ```
//! # #[cfg(target_os = "linux")] {
//! use crash_guard::{Config, FaultKind};
//!
//! let _installed = crash_guard::install(Config::new())?;
//! let guest = || unsafe { (8 as *mut u32).write_volatile(1) };
//! let fault = unsafe { crash_guard::call(guest) }.unwrap_err();
//! assert_eq!((fault.kind, fault.address), (FaultKind::Access, Some(8)));
//! # }
//! # Ok::<(), crash_guard::Error>(())
//! ```
//!
//! # Three tiers
//!
//! - [`probe`] reads and writes memory that may not be there. Reading is safe: the access is an
//!   instruction of this crate, and nothing is abandoned when it faults.
//! - [`call_fn`] calls a function pointer with no Rust frame in between.
//! - [`call`] calls a closure. Both are `unsafe`, because the frames between the fault and the
//!   guard are abandoned: they must be foreign, or have nothing left to do.
//!
//! [`Guard`] adds a deadline, the exact signal mask, and the guest's code range, and calls functions
//! that take and return a number ([`Guard::dispatch`]). Host code that a guest calls back runs
//! under a [`barrier`], since its faults are the host's own.
//!
//! # What is not caught
//!
//! A fault outside a guard, on a thread without one, in a forked or vforked child, or under a
//! barrier, and a signal that was sent with `kill` or `sigqueue`, go to whoever had the signal
//! before [`install`], with its mask, flags and default action as if this crate were not there.
//! (A previous handler runs on the alternate stack, though, even if it did not ask for one; and
//! where std's own handler lets a first `kill` with a fault signal pass, the default action follows
//! at once.)
//! A thread that the guest starts has no guard. Panics of the caller's own Rust runtime and
//! forced unwinding (`pthread_exit`) pass through a guard, destructors and all.
//!
//! Code that blocks the fault signals and then faults is killed by the kernel: nobody is asked.
//!
//! A guest that leaves a guarded call with `longjmp` breaks the contract of the call. On a
//! thread's own stack the guards it cut off are noticed and forgotten, nearly always; do not
//! count on it.
//!
//! # What the caller has again
//!
//! After a fault: the registers that functions preserve, MXCSR and the x87 control word or FPCR,
//! the direction, trap and alignment flags, `errno`, and the signal mask as [`Mask`] says. What
//! the abandoned code owned, it still owns: its memory, its files, its locks.
//!
//! # Platforms
//!
//! Linux on x86_64 and AArch64. Elsewhere [`install`] fails with [`Error::Unsupported`], and a
//! guarded call is a plain call that catches nothing, as it is everywhere before `install`.
//!
//! # References
//!
//! - System V ABI, AMD64 and AArch64 supplements; Itanium C++ ABI, exception handling.
//! - `sigaction(2)`, `sigreturn(2)`, `timer_create(2)`.
//! - RFC 2945, "C-unwind": which frames may be deallocated without unwinding.
#![allow(clippy::result_large_err, reason = "a fault is inline: nothing allocates on its way")]

mod error;
mod fault;
mod guard;
mod installed;
mod loader;
mod mask;
pub mod probe;
#[cfg(feature = "symbolize")]
pub mod symbolize;
mod sys;

pub use error::Error;
pub use fault::{Access, Exception, Fault, FaultKind, Held, Registers, ReturnAddresses, Taint};
pub use guard::{Dispatch, Entry, Guard, barrier, call, call_fn};
pub use installed::{Config, Disposition, Installed, Verification, install};
pub use loader::release_loader_lock;
pub use mask::{Mask, remember_mask};
