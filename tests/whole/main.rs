//! The whole, on real guests: compiled here, loaded, reloaded, broken and mended.

mod basics;
mod crashes;
mod hooks;
mod state;
mod pointers;
mod unloading;
