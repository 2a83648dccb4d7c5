//! Images in this process, and in others.
//!
//! Everything here asks the system. On platforms whose loader speaks no ELF there are no modules,
//! and nothing is mapped.

mod file;
mod list;
mod module;
mod remote;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as platform;

pub use list::Modules;
pub use module::{
    FileIdentity, Generation, Module, ModuleSegment, generation, is_mapped, locate, mappings_of,
    module_by_handle, module_of_address, modules,
};
pub use remote::{FileState, RemoteModule, modules_of};
