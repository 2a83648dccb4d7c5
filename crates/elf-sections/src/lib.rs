//! ELF images on disk and in memory: their segments, sections, symbols and relocations.
//!
//! A program that reloads native code asks of an image what ordinary ELF readers do not answer:
//! will this file load, is it broken, or is a linker still writing it? Which words of it hold
//! state, and which hold addresses that the loader computed? Where is this section in the running
//! process, and is it the same build as the file? And what must change in a copy so that it loads
//! beside its predecessor and unloads again?
//!
//! [`Image`] reads the headers of an image at once and everything else when asked for, from bytes
//! that the caller has read or mapped. [`verdict`] checks what the loader would trust, in time
//! that does not depend on the amount of code. [`plan_load_copy`] gives the edits of a copy as a
//! [`patch_plan::Plan`]. [`sys`] finds images in the running process.
//!
//! ```
//! use elf_sections::{Expected, LoadCopyOptions, Verdict, plan_load_copy, verdict};
//!
//! # let path = std::env::current_exe()?;
//! let bytes = std::fs::read(path)?;
//! let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
//! match verdict(&bytes, &expected) {
//!     Verdict::Complete(image) => {
//!         for section in image.sections_named(".state") {
//!             println!(".state: {:#x?}", section.range());
//!         }
//!         let copy = plan_load_copy(&image, &LoadCopyOptions::default())?;
//!         print!("{}", copy.plan.show());
//!     }
//!     Verdict::Incomplete(reason) => println!("wait: {reason}"),
//!     Verdict::Unloadable(reason) => println!("will never load: {reason}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! Whatever the bytes: nothing panics, nothing reads outside them, nothing is allocated by a count
//! that the file merely claims, and every walk ends. Outside [`sys`] there is no `unsafe` code, no
//! I/O and no knowledge of the platform: every class and byte order is read everywhere.
//!
//! The bytes must not change while they are looked at. A file that a linker may still be writing
//! is better read than mapped: a mapping faults when the file is cut short under it.
//!
//! # References
//!
//! - System V Application Binary Interface, generic ABI 4.1 and the gABI draft of 2024, chapters
//!   "Object Files" and "Program Loading and Dynamic Linking".
//! - The processor supplements for x86-64, AArch64 and RISC-V, for relocation numbers.
//! - The GNU C library's `elf/dl-load.c`, `elf/get-dynamic-info.h` and `elf/dl-lookup.c`, for what
//!   a loader trusts.
//! - `elf(5)`, `dl_iterate_phdr(3)`, `dlinfo(3)`, `proc_pid_maps(5)`.

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

mod bytes;
mod compression;
mod debug_link;
mod dynamic;
mod error;
pub mod guest;
mod hash;
mod header;
mod image;
mod layout;
mod load_copy;
mod note;
mod plan;
#[cfg(feature = "oracle")]
#[doc(hidden)]
pub mod oracle;
mod relocation;
mod section;
mod segment;
mod source;
mod symbol;
mod symbol_index;
pub mod sys;
mod verdict;
mod version;
mod writable;

pub use compression::{Compression, CompressionKind};
pub use debug_link::{DebugLink, debug_link_checksum};
pub use dynamic::{Dynamic, Routines, Tag};
pub use error::{Error, Structure};
pub use header::{Class, Endian, Header, Kind, Machine};
pub use image::Image;
pub use load_copy::{LoadCopy, LoadCopyOptions, plan_load_copy};
pub use note::{Note, Property};
pub use plan::{Changes, plan_changes};
pub use relocation::{Relocation, Relocations};
pub use section::{Section, SectionFlags, SectionKind};
pub use segment::{Permissions, Segment, SegmentKind};
pub use source::{ReadAt, Source};
pub use symbol::{Binding, Symbol, SymbolKind, SymbolSection, Symbols, Visibility};
pub use symbol_index::SymbolIndex;
pub use verdict::{Expected, Verdict, verdict};
pub use version::{SymbolVersion, SymbolVersions};
pub use writable::{Excluded, Reason, ThreadLocal, Writable};
