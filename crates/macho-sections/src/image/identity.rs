//! Which build an image is, for which system, and what it needs.

use super::Image;
use crate::command::CommandKind;
use crate::library::{Library, LibraryKind};
use crate::version::{BuildVersion, Platform, Version};

impl<'data> Image<'data> {
    /// `LC_UUID`: the identification of the build, which its dSYM shares. Not every linker writes
    /// one: Go's does not.
    pub fn uuid(&self) -> Option<[u8; 16]> {
        let command = self.command(CommandKind::UUID)?;
        command.bytes.get(8..)?.first_chunk().copied()
    }

    /// The platforms it is for, from `LC_BUILD_VERSION` or its predecessors. Two for an image that
    /// serves macOS and Mac Catalyst alike.
    pub fn build_versions(&self) -> impl Iterator<Item = BuildVersion> + use<'data> {
        let layout = self.layout;
        self.commands().filter_map(move |command| {
            let word = |at: usize| layout.u32(command.bytes.get(at..)?);
            let platform = match command.kind {
                CommandKind::BUILD_VERSION => {
                    let tools = command.bytes.get(24..).unwrap_or_default().chunks_exact(8);
                    return Some(BuildVersion {
                        platform: Platform(word(8)?),
                        minimum: Version(word(12)?),
                        sdk: Version(word(16)?),
                        tools: tools
                            .take(usize::try_from(word(20)?).ok()?)
                            .filter_map(|tool| {
                                Some((layout.u32(tool)?, Version(layout.u32(tool.get(4..)?)?)))
                            })
                            .collect(),
                    });
                }
                CommandKind::VERSION_MIN_MACOSX => Platform::MACOS,
                CommandKind::VERSION_MIN_IPHONEOS => Platform::IOS,
                CommandKind::VERSION_MIN_TVOS => Platform::TVOS,
                CommandKind::VERSION_MIN_WATCHOS => Platform::WATCHOS,
                _ => return None,
            };
            let (minimum, sdk) = (Version(word(8)?), Version(word(12)?));
            Some(BuildVersion { platform, minimum, sdk, tools: Vec::new() })
        })
    }

    /// The first platform it is for; see [`build_versions`](Image::build_versions).
    pub fn build_version(&self) -> Option<BuildVersion> {
        self.build_versions().next()
    }

    /// `LC_ID_DYLIB`: the name under which others will look for this library.
    pub fn install_name(&self) -> Option<&'data [u8]> {
        self.command(CommandKind::ID_DYLIB)?.string(self.layout, 8)
    }

    /// The libraries it needs, in the order that binds count them, which is from 1.
    pub fn libraries(&self) -> impl Iterator<Item = Library<'data>> + use<'data> {
        let layout = self.layout;
        self.commands().filter_map(move |command| {
            let word = |at: usize| layout.u32(command.bytes.get(at..)?);
            let flags =
                if word(8)? == USE_MARKED && word(12)? == USE_MARKER { word(24) } else { None };
            let kind = match command.kind {
                CommandKind::LOAD_DYLIB | CommandKind::LOAD_WEAK_DYLIB if flags.is_some() => {
                    LibraryKind::of_flags(flags?)
                }
                CommandKind::LOAD_DYLIB => LibraryKind::Needed,
                CommandKind::LOAD_WEAK_DYLIB => LibraryKind::Weak,
                CommandKind::REEXPORT_DYLIB => LibraryKind::Reexported,
                CommandKind::LAZY_LOAD_DYLIB => LibraryKind::Lazy,
                CommandKind::LOAD_UPWARD_DYLIB => LibraryKind::Upward,
                _ => return None,
            };
            Some(Library {
                name: command.string(layout, 8)?,
                kind,
                current_version: Version(word(16)?),
                compatibility_version: Version(word(20)?),
            })
        })
    }

    /// `LC_RPATH`: the directories that `@rpath` stands for, in the order they are searched.
    pub fn rpaths(&self) -> impl Iterator<Item = &'data [u8]> + use<'data> {
        let layout = self.layout;
        let rpaths = self.commands().filter(|command| command.kind == CommandKind::RPATH);
        rpaths.filter_map(move |command| command.string(layout, 8))
    }
}

/// The offset of the name in a `dylib_use_command`, which has one field more.
const USE_MARKED: u32 = 28;

/// What stands in place of the time stamp in a `dylib_use_command`.
const USE_MARKER: u32 = 0x1a74_1800;
