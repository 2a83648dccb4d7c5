//! What a guest, a library that is reloaded while its host runs, links against.
//!
//! A host loads the guest, calls its one entry point over and over, and replaces the code whenever
//! there is a new build. [`reload_main!`] exports that entry point, with panics kept inside and the
//! host's raw data behind a [`Context`]. [`state!`] names the variables that keep their values
//! across the replacement; everything else starts afresh with each version. The contract is that of
//! [cr]. The crate ships it for C and C++ as `include/reloader_guest.h`.
//!
//! ```
//! use reloader_guest::{Context, Operation, reload_main, state};
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! state! {
//!     static STEPS: AtomicU32 = AtomicU32::new(0);
//! }
//!
//! reload_main! {
//!     fn run(context: &mut Context, operation: Operation) {
//!         match operation {
//!             Operation::Load => println!("version {} is here", context.version()),
//!             Operation::Step => println!("step {}", STEPS.fetch_add(1, Ordering::Relaxed)),
//!             _ => {}
//!         }
//!     }
//! }
//! ```
//!
//! The guest is a `cdylib`. `examples/` has a complete one in Rust, in C and in C++.
//!
//! # Which variable is which
//!
//! A host that carries each variable by itself, as `reloader` does, knows it by the name and the
//! size of its symbol. That name is the compiler's mangled one. It depends on the path of the
//! static, the compiler's version and what Cargo mixes in (the guest's version, features and
//! profile, and the versions of its dependencies), but not on code:
//!
//! - **Code changes:** the name stays, the value is carried.
//! - **The variable is renamed or moved to another module:** the name is a new one, and the
//!   variable starts from its initialiser.
//! - **The type, the compiler, a feature or a dependency changes:** in the legacy scheme the name
//!   ends in a hash that covers them. `reloader` leaves the hash aside: the variable inherits as
//!   many of the old bytes as fit. In a host that compares whole names it starts afresh. The v0
//!   scheme (`-C symbol-mangling-version=v0`) leaves the type out and covers the rest: a variable
//!   whose type alone has changed inherits, one that was built otherwise starts afresh.
//! - **A field of the type changes:** neither scheme shows it. If the size stays the same, the
//!   bytes are carried.
//!
//! Hence [`Carry`]: the types that it is implemented for here cannot be harmed by foreign bytes,
//! and for your own types you promise it. Rename a variable to make it start afresh.
//!
//! A stripped guest (`strip = true`) has no names; hosts are left with comparing whole sections, as
//! cr does.
//!
//! # What does not survive
//!
//! Whatever points into the image of a version dies with it: string literals, function pointers,
//! `Box<dyn Trait>`, the `&'static` to another static. A thread that the guest started must be
//! joined at [`Operation::Unload`]. A `thread_local!` with a destructor keeps a version's image
//! loaded for as long as the thread lives.
//!
//! # In a host of cr
//!
//! A guest runs there unmodified, with two differences. Statics that start as zeros are carried as
//! if they were state. And the host hangs at the first reload of a guest that was linked by lld, as
//! Rust does by default on x86-64 Linux since 1.90; `RUSTFLAGS="-Clinker-features=-lld"` goes back
//! to the system's linker.
//!
//! # Panics and numbers from outside
//!
//! No panic leaves the entry point; see [`reload_main!`]. Numbers that the host passes are
//! converted, never transmuted: an unknown operation is [`Operation::Other`], an unknown failure
//! [`Failure::Other`].
//!
//! # References
//!
//! - [cr], whose contract this is
//! - [RFC 2603](https://rust-lang.github.io/rfcs/2603-rust-symbol-name-mangling-v0.html): the v0
//!   scheme, and the legacy scheme's hash
//!
//! [cr]: https://github.com/fungos/cr

#![deny(unsafe_code)]

mod entry;
mod failure;
mod operation;
mod outcome;
mod plugin;
mod state;

/// The attribute form of [`state!`](crate::state!), in a module of its own because a module has
/// room for one macro of a name.
pub mod attribute {
    /// Makes a static a state variable, exactly as [`state!`](crate::state!) does.
    ///
    /// ```
    /// use reloader_guest::attribute::state;
    ///
    /// #[state]
    /// static mut SEED: u64 = 1;
    /// ```
    ///
    /// It refuses everything but a static:
    ///
    /// ```compile_fail
    /// #[reloader_guest::attribute::state]
    /// const SEED: u64 = 1;
    /// ```
    ///
    /// The expansion refers to this crate as `reloader_guest`; under another name, use `state!`.
    pub use reloader_guest_macros::state;
}

pub use entry::Context;
pub use failure::Failure;
pub use operation::Operation;
pub use outcome::{ERROR, Outcome, PANIC};
pub use state::Carry;

/// What the macros expand to; no part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        entry::enter,
        plugin::Plugin,
        state::{NotCopy, Probe, carried},
    };
}
