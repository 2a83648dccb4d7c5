//! Linux with glibc or musl, on x86_64 and aarch64.

mod descriptors;
mod exits;
mod file;
mod loader;
mod maps;
mod memory;
mod pages;
mod signal;
mod thread;

pub(crate) use descriptors::{Descriptors, Kept};
pub(crate) use exits::{
    Exit, Registration, divert, exit_records, forget_exits, forget_image, return_exits, take_exits,
    threads_have_exits,
};
pub(crate) use file::{
    being_written, file_name, has_loader_variable, identity, is_own_directory, is_shared,
    make_private, map, open_build, process, try_lock,
};
pub(crate) use loader::{
    Handle, Opening, as_main, bias_of, call_destructor, call_finalizer, call_initializer, close,
    is_loaded, open, range_of, records, symbol,
};
pub(crate) use maps::{is_mapped, writable_memory};
pub(crate) use memory::{copy, page_is_mapped, read, write};
pub(crate) use pages::{Spare, renew, salvage};
pub(crate) use signal::{handled_signal, undisturbed};
pub(crate) use thread::thread_inside;
