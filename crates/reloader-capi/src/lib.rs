//! The C API of the reloader: `libreloader`, its header `reloader.h`, and a `cr.h` over it.
//!
//! The documentation is where its readers look for it, in `include/reloader.h`. What is here turns
//! pointers into values (the module `edge`, the only one with `unsafe` code), does the work in safe
//! code, and gives back numbers and text: no panic leaves it, and no error but as a status with a
//! message of the thread's own.
//!
//! Rust programs use the crate `reloader` itself.

mod edge;
mod abi;
mod plugin;
mod looks;
mod told;
mod section;
mod pdb;
mod status;
mod text;

pub use edge::*;
