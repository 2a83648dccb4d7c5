//! What an image says of how it was built, against what happened when it was.
#![cfg(target_os = "linux")]

/// Commands: recovered, and run again.
mod commands;
/// What an editor thinks of the commands.
mod editor;
/// The project itself: it builds, and its headers are what they are said to be.
mod ground;
/// Which sources each of the seven headers is found to be in.
mod headers;
/// Who contributed what, with four linkers.
mod owners;
/// Reading as the program does: the image, what lies around it, canonical paths.
mod reading;
/// Kinds of debug information.
mod variants;
/// PDBs by Clang and LLD, compiled again.
mod windows;
