//! The C API and `cr.h`, as C and C++ programs use them: each host is compiled and runs in a
//! process of its own.

mod workshop;
mod program;
mod headers;
mod api;
mod installed;
mod hosts;
mod cr_flow;
mod crashes;
mod images;
mod state;
mod cxx_guests;
mod files;
mod dependencies;
mod memory;
mod debugger;
mod options;
mod callers;
mod rows;
