//! Which modules a process has, and what just changed.
#![deny(unsafe_code)]
