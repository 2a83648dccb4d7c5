//! Linux: another process's memory, and what the kernel tells of it in `/proc`.

mod maps;
mod process;
mod vm;

pub use maps::ProcessMappings;
pub use process::{FileMemory, Process};
