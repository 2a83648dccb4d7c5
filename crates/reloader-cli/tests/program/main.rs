//! The program as a user runs it: real processes, real libraries, real signals.
#![cfg(target_os = "linux")]

/// Ends, signals and outputs that close.
mod ending;
/// What each event looks like.
mod events;
/// Libraries in C, built by the tests.
mod guest;
/// Windows images, made byte by byte.
mod image;
/// `reloader modules`.
mod modules;
/// Options of `run` that change what happens.
mod options;
/// `reloader pdb-path`.
mod pdb_path;
/// The program under way.
mod session;
/// `reloader demo`.
mod show;
/// Terminals without a screen.
mod terminal;
/// Command lines that are wrong, and the help.
mod usage;
