//! Live reload of native code: a library is loaded, stepped, replaced by its next build with its
//! state kept, and rolled back when it fails.
//!
//! A guest is an ordinary shared library with one entry function, `cr_main`. The host opens it as a
//! [`Plugin`] and steps it. When a new build is on disk, the next step loads it, carries the state
//! over, and goes on in the new code; a build that cannot be loaded is refused and costs nothing; a
//! version that crashes is left, and the last one that worked goes on with the state it was left
//! with.
//!
//! ```no_run
//! use reloader::{Event, Plugin, Step};
//!
//! let mut plugin = Plugin::builder("build/libguest.so")
//!     .on_event(|event| match event {
//!         Event::Reloaded { version, state, .. } => println!("version {version}: {state}"),
//!         Event::Refused(refusal) => println!("refused: {}", refusal.reason),
//!         Event::Fault(failure) => println!("{failure}"),
//!         _ => {}
//!     })
//!     .open()?;
//! loop {
//!     match plugin.step() {
//!         Step::Ran(0) => {}
//!         Step::Ran(_) => break,
//!         // The event has told what happened; the next step runs what works.
//!         Step::Failed(_) | Step::Idle => {}
//!     }
//!     std::thread::sleep(std::time::Duration::from_millis(16));
//! }
//! plugin.close();
//! # Ok::<(), reloader::Error>(())
//! ```
//!
//! # The reload
//!
//! 1. **Notice.** The operating system's notification sets a flag; a step without news costs one
//!    atomic load.
//! 2. **Check.** The build is copied to a private directory, and the copy is checked as a whole
//!    before anything happens to the running version. A build that is still being written is waited
//!    for.
//! 3. **Load.** The copy is mapped and its constructors run, under a guard and outside the loader's
//!    lock. The old version still runs.
//! 4. **Unload**, **carry**, **load.** The old version is told to unload, its state is carried
//!    over, the new one is told to load. If that fails, the old one goes on, state and all.
//! 5. **Retire.** A version that the history has no room for is unmapped when nothing needs it, and
//!    it is verified that it is gone; otherwise [`Event::Retired`] says why it stays.
//!
//! # What it promises
//!
//! The image of a guest is untrusted until it runs: no bytes make the host panic or read out of
//! bounds. What the guest *does* is its own: it runs in the host's process with the host's rights.
//! A fault in it is caught and its memory may be damaged by then, like that of any program that has
//! gone wrong; threads that it starts are not guarded.
//!
//! A version that is gone back to has the variables it was left with. What they point to on the
//! heap is shared by all versions: if the one that failed has freed or moved it, the old pointers
//! dangle, as they would in cr. A guest that wants to be safe from that replaces what it changes,
//! or keeps it in the state itself.
//!
//! Heap memory that hangs on the state is searched for pointers into old images: those in blocks
//! that the state itself leads to are changed, and further away those to vtables. Any word that
//! looks like one is taken for one; [`Builder::search_limit`] turns the search off.
//!
//! # References
//!
//! - The guest contract and its numbers: cr.h, <https://github.com/fungos/cr>.
//! - Itanium C++ ABI, 3.3.6 (destructors of objects with static storage) and 5.1.5.1 (guard
//!   variables).
//! - System V gABI, "Initialization and Termination Functions".
//! - `dlopen(3)`, `dlinfo(3)`, `inotify(7)`, `fcntl(2)` (leases), `proc_pid_syscall(5)`.

#![allow(clippy::result_large_err, reason = "a fault is inline: nothing allocates on its way")]

mod builder;
mod plugin;
mod machine;
mod notice;
mod stage;
mod neighbour;
mod version;
mod roll;
mod state;
mod entry;
mod sys;
mod words;
mod contract;
mod event;
mod error;

pub use builder::{Builder, Retreat, StatePolicy, Watch};
pub use contract::{Context, ENTRY, FailureCode, Operation, STATE_SECTION};
pub use crash_guard::{Fault, FaultKind};
pub use error::{Error, ErrorKind};
pub use event::{Cause, During, Event, Failure, Memory, Place, Refusal, RefusalKind};
pub use plugin::{Plugin, Step, Symbol};
pub use state::{Refused, Resized, Snapshot, StateReport, Untranslated};
