//! What the crate shows alone.

mod around;
mod around_support;
mod cache;
mod changes;
mod commands;
mod oracles;
mod paths;
#[path = "../support/tools.rs"]
mod tools;
