//! The libraries that an image needs.

use crate::version::Version;

/// A library that an image needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Library<'data> {
    /// Its install name: a path, which may start with `@rpath` and the like.
    pub name: &'data [u8],
    /// How it is needed.
    pub kind: LibraryKind,
    /// Its version when the image was linked.
    pub current_version: Version,
    /// The oldest version of it that will do.
    pub compatibility_version: Version,
}

/// How a library is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LibraryKind {
    /// `LC_LOAD_DYLIB`: the image does not load without it.
    Needed,
    /// `LC_LOAD_WEAK_DYLIB`: it may be missing.
    Weak,
    /// `LC_REEXPORT_DYLIB`: its symbols count as the image's own.
    Reexported,
    /// `LC_LAZY_LOAD_DYLIB`: it is loaded when first used.
    Lazy,
    /// `LC_LOAD_UPWARD_DYLIB`: it needs this image in turn, and is initialised after it.
    Upward,
}

impl LibraryKind {
    /// From the flags of a `dylib_use_command`, which replaces the kinds of command.
    pub(crate) fn of_flags(flags: u32) -> LibraryKind {
        match flags {
            flags if flags & 1 != 0 => LibraryKind::Weak,
            flags if flags & 2 != 0 => LibraryKind::Reexported,
            flags if flags & 4 != 0 => LibraryKind::Upward,
            flags if flags & 8 != 0 => LibraryKind::Lazy,
            _ => LibraryKind::Needed,
        }
    }
}
