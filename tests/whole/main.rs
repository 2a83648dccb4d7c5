//! The whole, on real guests: compiled here, loaded, reloaded, broken and mended.

mod bad_builds;
mod basics;
mod crashes;
mod files;
mod hooks;
mod notice;
mod plugins;
mod state;
mod numbered;
mod pointers;
mod unloading;
mod cxx;
mod snapshots;
mod leftovers;
mod linkers;
mod endurance;
mod gdb;
mod rust_guests;
