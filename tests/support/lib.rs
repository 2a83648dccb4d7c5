//! What the tests of the whole share: compilers, guests, and a bench to put them on.
#![allow(missing_docs, reason = "read by the tests beside it")]

mod alone;
mod apart;
mod bench;
mod build;
mod corpus;
mod count;
mod ledger;
mod paper;
mod project;
mod tool;
mod written;

pub use alone::{alone, die, pass};
pub use apart::apart;
pub use bench::{Bench, Seen, step_until};
pub use build::{Build, header_directory};
pub use corpus::Package;
pub use count::went_through;
pub use ledger::Ledger;
pub use paper::{PEN, Paper};
pub use project::{
    Crate, FUNCTIONS, HEADERS, Header, Project, Run, SHARED, SOURCES, System, Toolchain,
};
pub use tool::{Tool, missing, tool, tool_of};
pub use written::write;

/// The README's examples compile, and those that can run do.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
