//! The hashes that code directories are made of.

use std::fmt;

use object::macho;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

/// `hashType`: how pages are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// The first 20 bytes of SHA-256.
    Sha256Truncated,
    /// SHA-384, 48 bytes.
    Sha384,
}

impl HashKind {
    pub(super) fn new(kind: u8) -> Option<HashKind> {
        match macho::CsHashType(kind) {
            macho::CS_HASHTYPE_SHA1 => Some(HashKind::Sha1),
            macho::CS_HASHTYPE_SHA256 => Some(HashKind::Sha256),
            macho::CS_HASHTYPE_SHA256_TRUNCATED => Some(HashKind::Sha256Truncated),
            macho::CS_HASHTYPE_SHA384 => Some(HashKind::Sha384),
            _ => None,
        }
    }

    /// How many bytes a hash has.
    pub fn size(self) -> usize {
        match self {
            HashKind::Sha1 | HashKind::Sha256Truncated => 20,
            HashKind::Sha256 => 32,
            HashKind::Sha384 => 48,
        }
    }

    /// The hash of some bytes: [`size`](HashKind::size) bytes of it.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let mut digest = match self {
            HashKind::Sha1 => Sha1::digest(bytes).to_vec(),
            HashKind::Sha256 | HashKind::Sha256Truncated => Sha256::digest(bytes).to_vec(),
            HashKind::Sha384 => Sha384::digest(bytes).to_vec(),
        };
        digest.truncate(self.size());
        digest
    }
}

impl fmt::Display for HashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HashKind::Sha1 => "SHA-1",
            HashKind::Sha256 => "SHA-256",
            HashKind::Sha256Truncated => "SHA-256, truncated",
            HashKind::Sha384 => "SHA-384",
        })
    }
}
