//! What an image says of how it was built, against what happened when it was.
#![cfg(target_os = "linux")]

/// The project itself: it builds, and its headers are what they are said to be.
mod ground;
