//! Mach-O images: every segment and section, on disk and loaded.
#![deny(unsafe_code)]
