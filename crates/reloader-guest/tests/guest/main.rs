//! Guests as a host sees them: built on their own, loaded, called, and looked into.
//!
//! - [`contract`]: calls through `cr_main`, and what panics and odd numbers do
//! - [`names`]: where state variables lie, and what their symbols are called from build to build
//! - [`diagnostics`]: what the macros refuse, and the words they refuse it with
//! - [`header`]: the C and C++ header, by several compilers and standards
//! - [`build`], [`image`]: building a guest, loading it and reading its symbols

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "a host loads and calls foreign code")]

mod build;
mod contract;
mod diagnostics;
mod header;
mod image;
mod names;
