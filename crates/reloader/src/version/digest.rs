//! Which bytes a build consists of.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::Hasher;
use std::path::Path;

use crate::sys;

/// The length and a hash of a staged copy, to know a build again within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    length: u64,
    hash: u64,
}

impl Digest {
    pub(crate) fn of(copy: &Path) -> Option<Self> {
        let bytes = sys::map(&File::open(copy).ok()?).ok()?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        Some(Self { length: bytes.len() as u64, hash: hasher.finish() })
    }

    /// Whether the copy is one of `known`; its bytes are read only if one is as long.
    pub(crate) fn matches(copy: &Path, known: &[Self]) -> bool {
        let Ok(metadata) = std::fs::metadata(copy) else { return false };
        known.iter().any(|digest| digest.length == metadata.len())
            && Self::of(copy).is_some_and(|digest| known.contains(&digest))
    }
}
