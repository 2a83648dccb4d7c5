//! Load commands: everything that the header is followed by.

use object::macho;

use crate::layout::Layout;

/// A load command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command<'data> {
    /// Its place among the commands.
    pub index: u32,
    /// `cmd`.
    pub kind: CommandKind,
    /// Where it starts in the image.
    pub offset: u64,
    /// All its bytes, `cmd` and `cmdsize` among them.
    pub bytes: &'data [u8],
}

impl<'data> Command<'data> {
    /// The string that starts at the offset which the word at `field` holds, up to its NUL or the
    /// end of the command.
    pub(crate) fn string(&self, layout: Layout, field: usize) -> Option<&'data [u8]> {
        let start = layout.u32(self.bytes.get(field..)?)?;
        let bytes = self.bytes.get(usize::try_from(start).ok()?..)?;
        Some(until_nul(bytes))
    }
}

/// `cmd`: what a load command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandKind(pub u32);

impl CommandKind {
    /// `LC_SEGMENT`: a segment of a 32-bit image.
    pub const SEGMENT: CommandKind = CommandKind(macho::LC_SEGMENT.0);
    /// `LC_SEGMENT_64`: a segment of a 64-bit image.
    pub const SEGMENT_64: CommandKind = CommandKind(macho::LC_SEGMENT_64.0);
    /// `LC_SYMTAB`: the symbol table.
    pub const SYMTAB: CommandKind = CommandKind(macho::LC_SYMTAB.0);
    /// `LC_DYSYMTAB`: how the symbol table is divided, and the indirect symbols.
    pub const DYSYMTAB: CommandKind = CommandKind(macho::LC_DYSYMTAB.0);
    /// `LC_ID_DYLIB`: the install name.
    pub const ID_DYLIB: CommandKind = CommandKind(macho::LC_ID_DYLIB.0);
    /// `LC_LOAD_DYLIB`: a library that is needed.
    pub const LOAD_DYLIB: CommandKind = CommandKind(macho::LC_LOAD_DYLIB.0);
    /// `LC_LOAD_WEAK_DYLIB`: a library that may be missing.
    pub const LOAD_WEAK_DYLIB: CommandKind = CommandKind(macho::LC_LOAD_WEAK_DYLIB.0);
    /// `LC_REEXPORT_DYLIB`: a library whose symbols are passed on.
    pub const REEXPORT_DYLIB: CommandKind = CommandKind(macho::LC_REEXPORT_DYLIB.0);
    /// `LC_LAZY_LOAD_DYLIB`: a library that is loaded at its first use.
    pub const LAZY_LOAD_DYLIB: CommandKind = CommandKind(macho::LC_LAZY_LOAD_DYLIB.0);
    /// `LC_LOAD_UPWARD_DYLIB`: a library that needs this one in turn.
    pub const LOAD_UPWARD_DYLIB: CommandKind = CommandKind(macho::LC_LOAD_UPWARD_DYLIB.0);
    /// `LC_UUID`: the identification of the build.
    pub const UUID: CommandKind = CommandKind(macho::LC_UUID.0);
    /// `LC_RPATH`: a directory that `@rpath` stands for.
    pub const RPATH: CommandKind = CommandKind(macho::LC_RPATH.0);
    /// `LC_CODE_SIGNATURE`: where the code signature is.
    pub const CODE_SIGNATURE: CommandKind = CommandKind(macho::LC_CODE_SIGNATURE.0);
    /// `LC_DYLD_INFO`: where the opcodes for rebasing and binding are.
    pub const DYLD_INFO: CommandKind = CommandKind(macho::LC_DYLD_INFO.0);
    /// `LC_DYLD_INFO_ONLY`: the same, for loaders that understand it.
    pub const DYLD_INFO_ONLY: CommandKind = CommandKind(macho::LC_DYLD_INFO_ONLY.0);
    /// `LC_DYLD_CHAINED_FIXUPS`: where the heads of the fixup chains are.
    pub const DYLD_CHAINED_FIXUPS: CommandKind = CommandKind(macho::LC_DYLD_CHAINED_FIXUPS.0);
    /// `LC_DYLD_EXPORTS_TRIE`: where the exported symbols are.
    pub const DYLD_EXPORTS_TRIE: CommandKind = CommandKind(macho::LC_DYLD_EXPORTS_TRIE.0);
    /// `LC_BUILD_VERSION`: platform, versions and tools.
    pub const BUILD_VERSION: CommandKind = CommandKind(macho::LC_BUILD_VERSION.0);
    /// `LC_VERSION_MIN_MACOSX`: the oldest macOS it runs on.
    pub const VERSION_MIN_MACOSX: CommandKind = CommandKind(macho::LC_VERSION_MIN_MACOSX.0);
    /// `LC_VERSION_MIN_IPHONEOS`: the oldest iOS it runs on.
    pub const VERSION_MIN_IPHONEOS: CommandKind = CommandKind(macho::LC_VERSION_MIN_IPHONEOS.0);
    /// `LC_VERSION_MIN_TVOS`: the oldest tvOS it runs on.
    pub const VERSION_MIN_TVOS: CommandKind = CommandKind(macho::LC_VERSION_MIN_TVOS.0);
    /// `LC_VERSION_MIN_WATCHOS`: the oldest watchOS it runs on.
    pub const VERSION_MIN_WATCHOS: CommandKind = CommandKind(macho::LC_VERSION_MIN_WATCHOS.0);
}

/// The load commands of an image, in order.
#[derive(Debug, Clone)]
pub struct Commands<'data> {
    layout: Layout,
    /// What is left of them; reading the image has shown that each fits.
    bytes: &'data [u8],
    offset: u64,
    index: u32,
    count: u32,
}

impl<'data> Commands<'data> {
    pub(crate) fn new(layout: Layout, bytes: &'data [u8], count: u32) -> Commands<'data> {
        Commands { layout, bytes, offset: layout.header_size() as u64, index: 0, count }
    }
}

impl<'data> Iterator for Commands<'data> {
    type Item = Command<'data>;

    fn next(&mut self) -> Option<Command<'data>> {
        if self.index >= self.count {
            return None;
        }
        let (kind, size) = self.layout.command(self.bytes)?;
        let (bytes, rest) = self.bytes.split_at_checked(usize::try_from(size).ok()?)?;
        let command = Command { index: self.index, kind, offset: self.offset, bytes };
        self.bytes = rest;
        self.offset = self.offset.checked_add(u64::from(size))?;
        self.index = self.index.checked_add(1)?;
        Some(command)
    }
}

/// The bytes before the first NUL, or all.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
