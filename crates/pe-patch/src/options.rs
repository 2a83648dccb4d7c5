//! What the caller of a plan decides.

/// What to change, and what is allowed.
///
/// ```
/// use pe_patch::{PdbPathOptions, Signature, Which};
///
/// let options = PdbPathOptions {
///     entry: Which::One(0),
///     signature: Signature::Strip,
///     ..PdbPathOptions::default()
/// };
/// assert!(!options.allow_base_name);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PdbPathOptions {
    /// Which entries of the debug directory change. All that have a path, by default.
    pub entry: Which,
    /// What of the given path is stored. All of it, by default.
    pub form: PathForm,
    /// Whether the base name alone may be stored where there is no room for more. Off by default.
    pub allow_base_name: bool,
    /// What happens to a signature. An image with one is refused by default.
    pub signature: Signature,
    /// What is known of the image's checksum. Nothing by default, so that all of the image is
    /// read if it has one.
    pub sum: KnownSum,
}

/// Which entries of the debug directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Which {
    /// All that have a path.
    #[default]
    All,
    /// The one with this index.
    One(u32),
}

/// What of a path is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum PathForm {
    /// The path as it is given.
    #[default]
    Full,
    /// What follows the last `\` or `/`. Visual Studio and `dbghelp` look for a PDB of that name
    /// beside the image first.
    BaseName,
    /// The path as it is seen from this directory. Debuggers do not agree on what they then take
    /// it to be relative to.
    Relative(String),
}

/// What happens to a signature, which no change of the image leaves valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Signature {
    /// A signed image is an error.
    #[default]
    Refuse,
    /// The certificate table is taken off.
    Strip,
}

/// What the caller knows of the sum over the image's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum KnownSum {
    /// Nothing: the whole image is read to tell whether the stored checksum is right. (Not where
    /// none is stored.)
    #[default]
    Verify,
    /// The stored checksum is right. Planning then takes no longer for a large image.
    Trust,
    /// The right checksum of the image as it is, computed with [`Sum`](crate::Sum), for example
    /// while the file was copied.
    Computed(u32),
}
