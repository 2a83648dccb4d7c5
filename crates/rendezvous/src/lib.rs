//! Which modules a process has, and what just changed: the loader's `r_debug` protocol.
//!
//! A dynamic loader keeps its images in linked lists that anybody who can read its memory may
//! read: debuggers, profilers, a program that reloads parts of itself. Three things make that
//! harder than following pointers. The lists are where they are found only by one of half a dozen
//! ways, none of which does for every program. They change while they are read, without a lock
//! that one could take, and a list that is read once in a process that loads and unloads is
//! silently wrong every so often. And what the loader says of an image is its own view: a name
//! may be empty, relative, or that of a file that is another by now.
//!
//! [`Rendezvous::locate`] finds the lists; [`Rendezvous::snapshot`] reads them until they have
//! been the same twice and says whether they were; [`Snapshot::resolve`] finds the file and the
//! build of each module by what is mapped. A [`Tracker`] tells what has changed and reads no more
//! than that; [`watch()`] wakes it when there is something to read. All of it works on any
//! [`Memory`]: of another [`Process`] or this one, of a [`Core`] file of any class and byte order,
//! or of [`Bytes`] that a test has laid out.
//!
//! ```
//! use rendezvous::{Location, Process, Role};
//!
//! # #[cfg(target_os = "linux")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pid = std::process::id();
//! let process = Process::open(pid)?;
//! match process.locate()? {
//!     Location::Found(rendezvous) => {
//!         let mut snapshot = rendezvous.snapshot(&process);
//!         snapshot.resolve(&process, &process.mappings()?);
//!         for module in snapshot.modules().filter(|module| module.role != Role::Kernel) {
//!             println!("{:#x} {}", module.bias, module.path_lossy());
//!         }
//!         println!("{:?}", snapshot.consistency);
//!     }
//!     Location::NotYet { wait_at } => println!("its loader has not run: wait at {wait_at:#x}"),
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```
//!
//! # Promises
//!
//! A target is neither stopped nor changed by being read. Whatever its memory holds: nothing
//! panics, nothing is allocated by a count or length that the target merely claims, and every walk
//! ends, with what was found before it had to and the reason. There is no `unsafe` code outside
//! the module that talks to the system.
//!
//! A snapshot that is [`Consistency::Consistent`] was true at one moment, except for what changed
//! and changed back between two readings of the same words; where the loader is glibc's, its own
//! count of the modules has to agree too.
//!
//! # References
//!
//! - The GNU C library: `<link.h>`, `elf/dl-debug.c`, `elf/dl-object.c`, `nptl_db/structs.def`;
//!   musl: `ldso/dynlink.c`; FreeBSD: `<sys/link_elf.h>`, `<sys/elf_common.h>`.
//! - LLDB: `DYLDRendezvous`, whose table of states [`Action::of`] gives; GDB: `solib-svr4.c`.
//! - `process_vm_readv(2)`, `ptrace(2)` ("Ptrace access mode checking"), `proc_pid_maps(5)`,
//!   `proc_pid_auxv(5)`, `core(5)`, `dl_iterate_phdr(3)`; `PROCMAP_QUERY` in `<linux/fs.h>`.
//! - U. Drepper, "ELF Handling For Thread-Local Storage".

#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod layout;
mod memory;
mod pages;
mod startup;
mod image;
mod section;
mod symbols;
mod probe;
mod list;
mod count;
mod locate;
mod module;
mod mapping;
mod ration;
mod identify;
mod snapshot;
mod tracker;
mod watch;
mod core_file;
mod generation;
mod thread_storage;
mod error;
#[cfg(feature = "oracle")]
#[doc(hidden)]
pub mod oracle;
mod sys;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use core_file::Core;
pub use error::{CoreError, LocateError, ProcessError, Refusal, WalkError};
pub use generation::Generation;
pub use layout::{Class, Endian, Layout};
pub use list::{Head, State};
pub use locate::{Location, Rendezvous, Way};
pub use mapping::{Mapping, MappingTable, Mappings};
pub use memory::{Bytes, Memory, ReadError, Unreadable};
pub use module::{FileIdentity, Identity, MappedFile, Module, Role};
pub use probe::Probe;
pub use snapshot::{Consistency, Extension, Namespace, Snapshot};
pub use startup::{Auxv, Startup, System};
pub use sys::{FileMemory, Process, ProcessMappings};
pub use thread_storage::{ThreadStorage, ThreadStorageError};
pub use tracker::{Action, Tracker};
pub use watch::{
    Event, Means, Refused, Site, UnknownMeans, Watch, WatchError, WatchOptions, watch,
};
