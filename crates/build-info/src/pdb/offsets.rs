//! A hash map's hashes for offsets: a multiplication, by a number that nobody knows beforehand, so
//! that no file can be made of offsets that all fall into one place.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashes with one number for the whole map.
pub(super) struct Offsets(u64);

impl Default for Offsets {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u32) | 1)
    }
}

impl BuildHasher for Offsets {
    type Hasher = OffsetHasher;

    fn build_hasher(&self) -> OffsetHasher {
        OffsetHasher { factor: self.0, hash: 0 }
    }
}

/// The hash of one offset.
pub(super) struct OffsetHasher {
    factor: u64,
    hash: u64,
}

impl Hasher for OffsetHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, offset: u32) {
        let mixed = (self.hash ^ u64::from(offset)).wrapping_add(1);
        let product = u128::from(mixed).wrapping_mul(self.factor.into());
        // The upper half depends on all bits of the offset, and the lower one too.
        self.hash = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}
