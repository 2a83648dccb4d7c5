//! The hash table by which the loader will look symbols up.

use super::{holes, read};
use crate::dynamic::Tag;
use crate::hash::GnuHash;
use crate::{Error, Image, Structure};

/// Where there are two tables, the loader uses the GNU one.
pub(super) fn check(image: &Image<'_>) -> Result<(), Error> {
    if let Some(address) = image.dynamic_value(Tag::GNU_HASH) {
        read(image, Structure::GnuHash, address, 16)?;
        return check_gnu(image, address);
    }
    let Some(address) = image.dynamic_value(Tag::HASH) else { return Ok(()) };
    let structure = Structure::Hash;
    read(image, structure, address, 8)?;
    let wrong = |what, found| Error::Malformed { structure, at: address, what, found };
    let Some(hash) = image.sysv_hash() else {
        return Err(wrong("does not fit into its segment", address));
    };
    if hash.buckets.is_empty() && hash.chains.is_empty() {
        // The first word is the number of buckets, of which there is one at least.
        let offset = image.offset_of(address, 8).unwrap_or(0);
        return Err(Error::ZeroFilled { structure, offset });
    }
    if let Some(index) = hash.out_of_range() {
        return Err(wrong("leads to a symbol that there is not", u64::from(index)));
    }
    if hash.has_cycle() {
        return Err(wrong("a chain does not end", u64::from(hash.symbol_count())));
    }
    let capacity = image.dynamic_symbol_table().capacity();
    if hash.symbol_count() > capacity {
        return Err(wrong("has more symbols than there are", u64::from(hash.symbol_count())));
    }
    Ok(())
}

fn check_gnu(image: &Image<'_>, address: u64) -> Result<(), Error> {
    let structure = Structure::GnuHash;
    let wrong = |what, found| Error::Malformed { structure, at: address, what, found };
    let bytes = image.bytes_from(address);
    let Some(hash) = bytes.and_then(|bytes| GnuHash::parse(image.layout, bytes)) else {
        return Err(wrong("does not fit into its segment", address));
    };
    let offset = image.offset_of(address, 1).unwrap_or(0);
    if !hash.bloom_count.is_power_of_two() {
        if hash.bloom_count == 0 && hash.buckets.is_empty() {
            return Err(Error::ZeroFilled { structure, offset });
        }
        return Err(wrong("size of the filter is no power of two", u64::from(hash.bloom_count)));
    }
    let last = hash.last_bucket();
    if last != 0 && hash.first_bucket() < hash.symbol_base {
        return Err(wrong(
            "a bucket starts below the first symbol",
            u64::from(hash.first_bucket()),
        ));
    }
    let Some(count) = hash.symbol_count() else {
        return Err(wrong("the last chain does not end", u64::from(last)));
    };
    // An empty table's first symbol may be anything: one past the last, or just 1.
    if last != 0 && count > image.dynamic_symbol_table().capacity() {
        return Err(wrong("has more symbols than there are", u64::from(count)));
    }
    let values = u64::from(count.saturating_sub(hash.symbol_base)).saturating_mul(4);
    let header = bytes.map_or(0, <[u8]>::len).saturating_sub(hash.values.len()) as u64;
    let size = header.saturating_add(values);
    holes::check(image, structure, offset..offset.saturating_add(size))
}
