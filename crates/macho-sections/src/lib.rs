//! Mach-O images on disk and in memory: their segments, sections, symbols and fixups, and edits
//! that keep the ad-hoc signature true.
//!
//! A program that reloads native code asks of an image where its variables are, which of its
//! writable bytes are none, which words hold addresses that the loader computed, and where all of
//! that is in the running process. On Apple's processors it asks one thing more: every page of an
//! image is hashed into its code signature, and an edit of a single byte makes the system kill
//! whoever runs it, unless the hash is renewed.
//!
//! [`Container`] tells fat files from thin ones and [`Image`] reads the load commands of one image
//! at once and everything else when asked for. [`Image::writable`] sorts what is writable into
//! variables and everything else, each with its [`Reason`]. [`Image::fixups`] is the map of words
//! that are addresses. [`plan_edit_and_resign`] turns an edit into a [`patch_plan::Plan`] that
//! renews the signature as well; [`plan_uuid`], [`plan_install_name`] and [`plan_rpath`] are such
//! edits. [`sys`] finds images in the running process.
//!
//! ```
//! use macho_sections::{Container, Cpu};
//!
//! # fn example(bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let container = Container::parse(bytes)?;
//! if let Some(image) = container.image_for(Cpu::ARM64) {
//!     let image = image?;
//!     for section in image.sections_named("__state") {
//!         println!("__state: {:#x?}", section.range());
//!     }
//!     let writable = image.writable();
//!     println!("variables: {:#x?}", writable.variables);
//!     for excluded in &writable.excluded {
//!         println!("{:#x?}: {}", excluded.range, excluded.reason);
//!     }
//! }
//! # Ok(())
//! # }
//! # // An object file for arm64 without load commands.
//! # let mut bytes = vec![0xcf, 0xfa, 0xed, 0xfe, 12, 0, 0, 1];
//! # bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
//! # bytes.extend([0; 16]);
//! # example(&bytes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! Whatever the bytes: nothing panics, nothing reads outside them, nothing is allocated by a count
//! that the file merely claims, and every walk ends: an image has at most as many fixups as bytes.
//! Outside [`sys`] there is no `unsafe` code, no I/O and no knowledge of the platform: both word
//! sizes and byte orders are read everywhere.
//!
//! The bytes must not change while they are looked at. A file that a linker may still be writing
//! is better read than mapped: a mapping faults when the file is cut short under it.
//!
//! # References
//!
//! - Apple's `mach-o/loader.h`, `mach-o/fat.h`, `mach-o/nlist.h`, `mach-o/stab.h`,
//!   `mach-o/fixup-chains.h` and `mach-o/reloc.h`.
//! - Apple's `osfmk/kern/cs_blobs.h` and `bsd/kern/ubc_subr.c`, for what a kernel asks of a code
//!   signature.
//! - `dyld(3)`: `_dyld_register_func_for_add_image` and what it says of threads.

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

mod command;
mod container;
mod debug_map;
mod error;
mod fixup;
mod header;
mod image;
mod layout;
mod library;
#[cfg(feature = "oracle")]
#[doc(hidden)]
pub mod oracle;
mod plans;
mod resign;
mod rewrite;
mod section;
mod segment;
mod signature;
mod strings;
mod symbol;
pub mod sys;
mod version;
mod writable;

pub use command::{Command, CommandKind, Commands};
pub use container::{Container, Fat, FatKind, Slice};
pub use debug_map::{DebugFunction, DebugObject, DebugVariable};
pub use error::{Error, Structure};
pub use fixup::{Authentication, Binding, Fixup, FixupTarget, Fixups};
pub use header::{Class, Cpu, Endian, FileFlags, FileKind, Header};
pub use image::Image;
pub use library::{Library, LibraryKind};
pub use plans::{RpathChange, plan_install_name, plan_rpath, plan_uuid};
pub use resign::{Resigned, ResignedDirectory, plan_edit_and_resign};
pub use section::{Section, SectionFlags, SectionKind};
pub use segment::{Permissions, Segment, SegmentFlags};
pub use signature::{
    BadPage, BadSlot, Blob, CodeDirectory, HashKind, Signature, SignatureFlags, Verification,
};
pub use symbol::{Symbol, SymbolKind, Symbols};
pub use version::{BuildVersion, Platform, Version};
pub use writable::{Excluded, Reason, ThreadLocal, Writable};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
