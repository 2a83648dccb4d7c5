//! `reloader sections` and `reloader patch` as a user runs them, on images of the machine's own
//! compilers and on one that is made byte by byte.
#![cfg(target_os = "linux")]

/// Running the program, and compilers.
mod desk;
/// A small ELF image, made byte by byte.
mod elf;
/// What is said of files that are no images.
mod foreign;
/// JSON, compared with what other readers say.
mod json;
/// Mach-O images, linked on this machine.
mod macho;
/// `reloader patch`.
mod patch;
/// Modules of running processes.
mod process;
/// Terminals without a screen.
#[path = "../program/terminal.rs"]
mod terminal;
/// The text, coloured or not.
mod text;
