//! The modules of other processes: programs of every kind and linker, started here, read and
//! watched while they load and unload.
#![allow(unsafe_code, reason = "signals to processes that were started here")]

mod debuggers;
mod events;
mod harm;
mod kinds;
mod probes;
mod target;
mod workshop;
