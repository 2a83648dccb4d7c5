//! The hash tables by which the loader finds a symbol.

use object::elf;

use crate::layout::Layout;

/// `DT_GNU_HASH`: only defined symbols are in it, sorted by bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GnuHash<'data> {
    layout: Layout,
    pub(crate) symbol_base: u32,
    pub(crate) bloom_count: u32,
    bloom_shift: u32,
    bloom: &'data [u8],
    pub(crate) buckets: &'data [u8],
    /// The hash values; how many there are follows only from the buckets, so that bytes of
    /// something else stand behind them.
    pub(crate) values: &'data [u8],
}

impl<'data> GnuHash<'data> {
    /// `bytes` starts at the table and may go on behind it. `None` if a part does not fit.
    pub(crate) fn parse(layout: Layout, bytes: &'data [u8]) -> Option<GnuHash<'data>> {
        let bucket_count = layout.u32(bytes)?;
        let symbol_base = layout.u32(bytes.get(4..)?)?;
        let bloom_count = layout.u32(bytes.get(8..)?)?;
        let bloom_shift = layout.u32(bytes.get(12..)?)?;
        let rest = bytes.get(16..)?;
        let bloom_size = usize::try_from(bloom_count).ok()?.checked_mul(layout.word_size())?;
        let (bloom, rest) = rest.split_at_checked(bloom_size)?;
        let (buckets, values) =
            rest.split_at_checked(usize::try_from(bucket_count).ok()?.checked_mul(4)?)?;
        Some(GnuHash { layout, symbol_base, bloom_count, bloom_shift, bloom, buckets, values })
    }

    /// The size of all parts before the hash values, by the header.
    pub(crate) fn size_without_values(layout: Layout, header: &[u8]) -> Option<u64> {
        let bucket_count = u64::from(layout.u32(header)?);
        let bloom_count = u64::from(layout.u32(header.get(8..)?)?);
        let bloom_size = bloom_count.checked_mul(layout.class.word_size())?;
        bloom_size.checked_add(bucket_count.checked_mul(4)?)?.checked_add(16)
    }

    /// The size of the hash values up to the last chain's first one.
    pub(crate) fn least_size_of_values(&self) -> u64 {
        let first = self.last_bucket().saturating_sub(self.symbol_base);
        u64::from(first).saturating_add(1).saturating_mul(4)
    }

    /// The highest bucket, which is where the last chain starts.
    pub(crate) fn last_bucket(&self) -> u32 {
        self.buckets.chunks_exact(4).filter_map(|word| self.layout.u32(word)).max().unwrap_or(0)
    }

    /// The lowest bucket that is not empty, 0 if all are.
    pub(crate) fn first_bucket(&self) -> u32 {
        let words = self.buckets.chunks_exact(4).filter_map(|word| self.layout.u32(word));
        words.filter(|&first| first != 0).min().unwrap_or(0)
    }

    /// One past the last symbol that the table has, or `None` if the last chain does not end.
    pub(crate) fn symbol_count(&self) -> Option<u32> {
        let last = self.last_bucket();
        if last == 0 {
            return Some(self.symbol_base);
        }
        let mut index = last;
        while self.value(index)? & 1 == 0 {
            index = index.checked_add(1)?;
        }
        index.checked_add(1)
    }

    /// The size of all parts, as far as they are there.
    pub(crate) fn size(&self) -> u64 {
        let count = self.symbol_count().map_or(0, |it| it.saturating_sub(self.symbol_base));
        let values = u64::from(count).saturating_mul(4).max(self.least_size_of_values());
        let fixed = self.bloom.len().saturating_add(self.buckets.len()).saturating_add(16) as u64;
        fixed.saturating_add(values.min(self.values.len() as u64))
    }

    /// The symbols whose names may be `name`, for the caller to compare.
    pub(crate) fn candidates(self, name: &[u8]) -> impl Iterator<Item = u32> + use<'data> {
        let hash = elf::gnu_hash(name);
        let mut next = self.may_contain(hash).then(|| self.bucket(hash)).flatten();
        std::iter::from_fn(move || {
            while let Some(index) = next {
                let value = self.value(index)?;
                next = if value & 1 == 0 { index.checked_add(1) } else { None };
                if value | 1 == hash | 1 {
                    return Some(index);
                }
            }
            None
        })
    }

    fn may_contain(&self, hash: u32) -> bool {
        let bits = self.layout.class.word_size().saturating_mul(8) as u32;
        let word = (hash.checked_div(bits).unwrap_or(0)) & self.bloom_count.wrapping_sub(1);
        let Some(filter) = usize::try_from(word)
            .ok()
            .and_then(|word| self.bloom.get(word.checked_mul(self.layout.word_size())?..))
            .and_then(|bytes| self.layout.word(bytes))
        else {
            return false;
        };
        let second = hash.checked_shr(self.bloom_shift).unwrap_or(0);
        let bit = |hash: u32| filter >> (hash & bits.wrapping_sub(1)) & 1;
        bit(hash) & bit(second) == 1
    }

    fn bucket(&self, hash: u32) -> Option<u32> {
        let count = u32::try_from(self.buckets.len() >> 2).ok()?;
        let bucket = usize::try_from(hash.checked_rem(count)?).ok()?;
        let first = self.layout.u32(self.buckets.get(bucket.checked_mul(4)?..)?)?;
        Some(first).filter(|&first| first != 0)
    }

    fn value(&self, index: u32) -> Option<u32> {
        let place = usize::try_from(index.checked_sub(self.symbol_base)?).ok()?;
        self.layout.u32(self.values.get(place.checked_mul(4)?..)?)
    }
}

/// `DT_HASH`: a chain entry for every symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SysvHash<'data> {
    layout: Layout,
    pub(crate) buckets: &'data [u8],
    pub(crate) chains: &'data [u8],
}

impl<'data> SysvHash<'data> {
    /// `bytes` starts at the table and may go on behind it. `None` if a part does not fit.
    pub(crate) fn parse(layout: Layout, bytes: &'data [u8]) -> Option<SysvHash<'data>> {
        let bucket_count = usize::try_from(layout.u32(bytes)?).ok()?;
        let chain_count = usize::try_from(layout.u32(bytes.get(4..)?)?).ok()?;
        let rest = bytes.get(8..)?;
        let (buckets, rest) = rest.split_at_checked(bucket_count.checked_mul(4)?)?;
        let (chains, _) = rest.split_at_checked(chain_count.checked_mul(4)?)?;
        Some(SysvHash { layout, buckets, chains })
    }

    /// The size of the table, by its header.
    pub(crate) fn size(layout: Layout, header: &[u8]) -> Option<u64> {
        let buckets = u64::from(layout.u32(header)?);
        let chains = u64::from(layout.u32(header.get(4..)?)?);
        buckets.checked_add(chains)?.checked_mul(4)?.checked_add(8)
    }

    /// How many symbols the symbol table has.
    pub(crate) fn symbol_count(&self) -> u32 {
        u32::try_from(self.chains.len() >> 2).unwrap_or(u32::MAX)
    }

    /// The symbols whose names may be `name`, for the caller to compare; none is beyond the table.
    pub(crate) fn candidates(self, name: &[u8]) -> impl Iterator<Item = u32> + use<'data> {
        let count = self.buckets.len() >> 2;
        let bucket = (elf::hash(name) as usize).checked_rem(count);
        let mut next = bucket.and_then(|bucket| self.word(self.buckets, bucket));
        // A chain that is longer than the table has come round to where it was.
        let symbols = self.symbol_count();
        let mut left = symbols;
        std::iter::from_fn(move || {
            let index = next.filter(|&index| (1..symbols).contains(&index))?;
            left = left.checked_sub(1)?;
            next = self.word(self.chains, usize::try_from(index).ok()?);
            Some(index)
        })
    }

    /// A number that is no symbol's index, if there is one in the table.
    pub(crate) fn out_of_range(&self) -> Option<u32> {
        let count = self.symbol_count();
        let words = self.buckets.chunks_exact(4).chain(self.chains.chunks_exact(4));
        words.filter_map(|word| self.layout.u32(word)).find(|&index| index >= count)
    }

    /// Whether some chain comes round to where it was, so that a loader would follow it for ever.
    pub(crate) fn has_cycle(&self) -> bool {
        let count = self.chains.len() >> 2;
        let mut seen = vec![false; count];
        let starts = self.buckets.chunks_exact(4).filter_map(|word| self.layout.u32(word));
        for start in starts {
            let mut next = start as usize;
            while next != 0 {
                // Every symbol is in one chain only, and once.
                match seen.get_mut(next) {
                    Some(seen) if !*seen => *seen = true,
                    Some(_) => return true,
                    None => break,
                }
                next = self.word(self.chains, next).unwrap_or(0) as usize;
            }
        }
        false
    }

    fn word(&self, words: &[u8], index: usize) -> Option<u32> {
        self.layout.u32(words.get(index.checked_mul(4)?..)?)
    }
}
