//! Which of an image's bytes are the program's variables, and why the others are not.

use std::fmt;
use std::ops::Range;

use crate::Error;

/// The writable memory of an image, taken apart.
///
/// Addresses are the image's own, before the load bias is added. Every byte of a writable segment
/// is in one of the ranges of `variables`, or in one of `excluded`, and in no two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writable {
    /// The ranges that hold the program's variables, ascending, disjoint, none empty.
    pub variables: Vec<Range<u64>>,
    /// What is writable, or is until the image is relocated, and holds no variables; ascending,
    /// disjoint, each with its reason.
    pub excluded: Vec<Excluded>,
    /// The variables that each thread has for itself, if there are any.
    pub thread_local: Option<ThreadLocal>,
    /// Why the relocations could not all be understood. Storage of libraries' variables may then be
    /// among the variables.
    pub unread: Option<Error>,
}

impl Writable {
    /// How many bytes of variables there are, each thread's own not counted.
    pub fn size(&self) -> u64 {
        self.variables
            .iter()
            .fold(0, |size: u64, it| size.saturating_add(it.end.saturating_sub(it.start)))
    }

    /// Whether an address is one of a variable's.
    pub fn contains(&self, address: u64) -> bool {
        let position = self.variables.partition_point(|range| range.end <= address);
        self.variables.get(position).is_some_and(|range| range.contains(&address))
    }

    /// Why an address that is writable is not one of a variable's.
    pub fn exclusion_at(&self, address: u64) -> Option<Reason> {
        let position = self.excluded.partition_point(|it| it.range.end <= address);
        let excluded = self.excluded.get(position)?;
        excluded.range.contains(&address).then_some(excluded.reason)
    }
}

/// A range of writable memory that holds no variables.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Excluded {
    /// Its addresses.
    pub range: Range<u64>,
    /// Why.
    pub reason: Reason,
}

/// Why memory holds none of the program's variables, or none that may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It is not in memory at run time.
    NotMapped,
    /// It is not meant to be written to: its segment or its section says so, or the dynamic table
    /// leads to it as one of the tables that the loader only reads.
    ReadOnly,
    /// The template of thread-local variables, from which each thread's own are copied.
    ThreadLocal,
    /// The file's and program headers, which the segment happens to include.
    Headers,
    /// `.dynamic`, what the image tells the loader.
    DynamicTable,
    /// The global offset table: addresses that the loader computes, at once or when they are used.
    Got,
    /// Addresses of functions that the loader calls: `.init_array`, `.fini_array`, `.ctors` and
    /// their kin.
    Initializers,
    /// `.tm_clone_table`, which the transactional memory runtime reads.
    TransactionalMemoryTable,
    /// `.eh_frame` and what belongs to it.
    UnwindTable,
    /// Machine code in a section that may be written to, as `ld -N` makes of `.text`.
    Code,
    /// The storage of a library's variable, which the loader moved into this program.
    CopyRelocated,
    /// The loader makes it read-only when it has relocated it; or it lies in the part of that
    /// range that is no whole page, and stays writable.
    ReadOnlyAfterRelocation,
    /// What the compiler's start files keep: `__dso_handle` and whether destructors have run.
    LoaderData,
    /// A word that the loader computes: a pointer's initial value, a virtual table's address. It
    /// may be a variable; what it holds is of one load of one image only.
    RelocatedWord,
    /// No section covers it.
    Padding,
}

impl Reason {
    /// The word for it in tables and JSON: `read-only-after-relocation`, `got`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NotMapped => "not-mapped",
            Reason::ReadOnly => "read-only",
            Reason::ThreadLocal => "thread-local",
            Reason::Headers => "headers",
            Reason::DynamicTable => "dynamic-table",
            Reason::Got => "got",
            Reason::Initializers => "initializers",
            Reason::TransactionalMemoryTable => "transactional-memory-table",
            Reason::UnwindTable => "unwind-table",
            Reason::Code => "code",
            Reason::CopyRelocated => "copy-relocated",
            Reason::ReadOnlyAfterRelocation => "read-only-after-relocation",
            Reason::LoaderData => "loader-data",
            Reason::RelocatedWord => "relocated-word",
            Reason::Padding => "padding",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The variables that each thread has for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ThreadLocal {
    /// The addresses of the initial values in the image; the rest of each block is zero.
    pub template: Range<u64>,
    /// The size of each thread's block.
    pub size: u64,
    /// The alignment of each thread's block.
    pub align: u64,
}

/// Memory of which one claimant after the other takes its part.
#[derive(Debug)]
pub(crate) struct Claims {
    free: Vec<Range<u64>>,
    taken: Vec<Excluded>,
}

impl Claims {
    pub(crate) fn new(ranges: Vec<Range<u64>>) -> Claims {
        Claims { free: merged(ranges), taken: Vec::new() }
    }

    /// Takes what of these ranges nobody has taken before.
    pub(crate) fn take(&mut self, reason: Reason, wanted: Vec<Range<u64>>) {
        let wanted = merged(wanted);
        if wanted.is_empty() {
            return;
        }
        let mut left = Vec::with_capacity(self.free.len());
        let mut next = 0;
        for range in std::mem::take(&mut self.free) {
            let mut start = range.start;
            while let Some(claim) = wanted.get(next).filter(|claim| claim.start < range.end) {
                if claim.end > start {
                    let taken = claim.start.max(start)..claim.end.min(range.end);
                    push(&mut left, start..taken.start);
                    start = taken.end;
                    self.taken.push(Excluded { range: taken, reason });
                }
                if claim.end > range.end {
                    break;
                }
                next = next.saturating_add(1);
            }
            push(&mut left, start..range.end);
        }
        self.free = left;
    }

    /// Takes what of the rest none of these ranges covers.
    pub(crate) fn take_all_but(&mut self, reason: Reason, kept: Vec<Range<u64>>) {
        let mut start = 0;
        let mut gaps = Vec::new();
        for range in merged(kept) {
            push(&mut gaps, start..range.start);
            start = range.end;
        }
        push(&mut gaps, start..u64::MAX);
        self.take(reason, gaps);
    }

    pub(crate) fn finish(mut self, thread_local: Option<ThreadLocal>) -> Writable {
        self.taken.sort_by_key(|it| it.range.start);
        self.taken.dedup_by(|after, before| {
            let is_one = before.reason == after.reason && before.range.end == after.range.start;
            if is_one {
                before.range.end = after.range.end;
            }
            is_one
        });
        Writable { variables: self.free, excluded: self.taken, thread_local, unread: None }
    }
}

/// Ascending, disjoint, none empty, none touching the next.
pub(crate) fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|after, before| {
        let is_one = after.start <= before.end;
        if is_one {
            before.end = before.end.max(after.end);
        }
        is_one
    });
    ranges
}

fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    if range.start < range.end {
        ranges.push(range);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_goes_to_the_first_who_claims_it(
            free in prop::collection::vec((0..200_u64, 0..40_u64), 0..6),
            claims in prop::collection::vec(prop::collection::vec((0..200_u64, 0..20_u64), 0..8), 0..5),
            kept in prop::collection::vec((0..200_u64, 0..40_u64), 0..6),
        ) {
            let reasons = [
                Reason::ReadOnly, Reason::Got, Reason::Initializers, Reason::LoaderData,
                Reason::RelocatedWord,
            ];
            let ranges = |pairs: &[(u64, u64)]| -> Vec<Range<u64>> {
                pairs.iter().map(|&(start, size)| start..start + size).collect()
            };
            let has = |pairs: &[(u64, u64)], byte: u64| {
                ranges(pairs).iter().any(|range| range.contains(&byte))
            };
            let mut taken = Claims::new(ranges(&free));
            for (reason, claim) in reasons.iter().zip(&claims) {
                taken.take(*reason, ranges(claim));
            }
            taken.take_all_but(Reason::Padding, ranges(&kept));
            let writable = taken.finish(None);
            for byte in 0..250 {
                let first = reasons.iter().zip(&claims).find(|(_, claim)| has(claim, byte));
                let owner = match first {
                    _ if !has(&free, byte) => None,
                    Some((reason, _)) => Some(*reason),
                    None if !has(&kept, byte) => Some(Reason::Padding),
                    None => None,
                };
                prop_assert_eq!(writable.exclusion_at(byte), owner);
                prop_assert_eq!(writable.contains(byte), has(&free, byte) && owner.is_none());
            }
        }
    }
}
