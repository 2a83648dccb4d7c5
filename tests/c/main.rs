//! The C API and `cr.h`, as C and C++ programs use them: each host is compiled and runs in a process of its own.

mod cr_flow;
mod crashes;

mod headers;
mod hosts;

mod program;

mod workshop;
