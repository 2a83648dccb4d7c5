//! Which modules a process has, and what just changed.

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
mod startup;
mod image;
mod symbols;
mod pages;
mod list;
mod count;
mod locate;
mod module;
mod mapping;
mod identify;
mod snapshot;
mod tracker;
mod core_file;
mod generation;
mod thread_storage;
mod error;
#[cfg(feature = "oracle")]
#[doc(hidden)]
pub mod oracle;
mod sys;
mod watch;

pub use core_file::Core;
pub use error::{CoreError, LocateError, ProcessError, Refusal, WalkError};
pub use generation::Generation;
pub use layout::{Class, Endian, Layout};
pub use list::{Head, State};
pub use locate::{Location, Rendezvous, Way};
pub use mapping::{Mapping, MappingTable, Mappings};
pub use memory::{Bytes, Memory, ReadError, Unreadable};
pub use module::{FileIdentity, Identity, MappedFile, Module, Role};
pub use snapshot::{Consistency, Extension, Namespace, Snapshot};
pub use startup::{Auxv, Startup, System};
pub use sys::{FileMemory, Process, ProcessMappings};
pub use thread_storage::{ThreadStorage, ThreadStorageError};
pub use tracker::{Action, Tracker};
pub use watch::{Event, Means, Refused, UnknownMeans, Watch, WatchError, WatchOptions, watch};
