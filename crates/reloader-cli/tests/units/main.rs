//! `reloader units`, `affected`, `owner`, `compile-commands` and `build-report`.
#![cfg(target_os = "linux")]

/// What is kept for the next question.
mod again;
/// What is only known if the program is told where to look, or may ask.
mod asked;
/// A page in a headless browser.
mod browser;
#[path = "../sections/desk.rs"]
mod desk;
/// What is said of files that nothing can be said of.
mod foreign;
/// Windows images, which lead to their PDBs.
mod pairs;
/// The questions of the README, and their answers.
mod questions;
/// `reloader build-report`.
mod report;
#[path = "../program/terminal.rs"]
mod terminal;
/// What the subcommands say of a project whose truth is known.
mod truth;
/// What is written: where it goes, where it must not, and for whom it is.
mod written;
