//! What the tests of the whole share: compilers, guests, and a bench to put them on.
#![allow(missing_docs, reason = "read by the tests beside it")]

mod bench;
mod build;
mod tool;

pub use bench::{Bench, Seen, step_until};
pub use build::{Build, header_directory};
pub use tool::{Tool, tool};
