//! What the crate shows alone.

mod around;
mod around_support;
mod commands;
mod paths;
