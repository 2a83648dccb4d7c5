//! Linux: another process's memory, and what the kernel tells of it in `/proc`.

mod alarm;
mod maps;
mod own;
mod perf;
mod process;
mod ptrace;
mod ptrace_arm;
mod ptrace_attach;
mod ptrace_keeper;
mod ptrace_message;
mod ptrace_own;
mod ptrace_registers;
mod ptrace_target;
mod vm;

pub(crate) use alarm::Alarm;
pub use maps::ProcessMappings;
pub(crate) use own::generation;
pub use process::{FileMemory, Process};
