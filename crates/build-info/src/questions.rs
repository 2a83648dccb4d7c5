//! What is to be found out: a reader leaves alone what nobody asks for.

/// What is to be found out.
///
/// Which units there are is always answered. Each further question costs what its answer takes:
/// a reader opens no stream and decompresses no section that only another question needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Questions {
    /// How was each unit compiled: command, compiler, versions, flags?
    pub commands: bool,
    /// From which files was it made?
    pub files: bool,
    /// Whose are the bytes at an address? Sizes of units come with it.
    pub contributions: bool,
}

impl Questions {
    /// Everything.
    pub const ALL: Self = Self { commands: true, files: true, contributions: true };
    /// The units and their files.
    pub const FILES: Self = Self { commands: false, files: true, contributions: false };
}

impl Default for Questions {
    fn default() -> Self {
        Self::ALL
    }
}
