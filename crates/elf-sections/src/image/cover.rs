//! Which of many ranges an address is in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Ranges that may overlap, taken apart into disjoint ones: each belongs to the first range that
/// covers it.
#[derive(Debug, Clone)]
pub(crate) struct Cover {
    /// Ascending, disjoint, with the place of the range among all.
    parts: Vec<(Range<u64>, usize)>,
}

impl Cover {
    pub(crate) fn new(ranges: impl Iterator<Item = (usize, Range<u64>)>) -> Cover {
        let mut ranges: Vec<(usize, Range<u64>)> =
            ranges.filter(|(_, range)| range.start < range.end).collect();
        let mut edges: Vec<u64> =
            ranges.iter().flat_map(|(_, range)| [range.start, range.end]).collect();
        edges.sort_unstable();
        edges.dedup();
        ranges.sort_unstable_by_key(|(_, range)| range.start);
        let mut waiting = ranges.into_iter().peekable();
        // Those that have started, the first one on top.
        let mut open: BinaryHeap<(Reverse<usize>, u64)> = BinaryHeap::new();
        let mut parts: Vec<(Range<u64>, usize)> = Vec::new();
        for (&start, &end) in edges.iter().zip(edges.iter().skip(1)) {
            while let Some((place, range)) = waiting.next_if(|(_, range)| range.start <= start) {
                open.push((Reverse(place), range.end));
            }
            while open.peek().is_some_and(|&(_, end)| end <= start) {
                open.pop();
            }
            let Some(&(Reverse(place), _)) = open.peek() else { continue };
            match parts.last_mut() {
                Some((last, owner)) if *owner == place && last.end == start => last.end = end,
                _ => parts.push((start..end, place)),
            }
        }
        Cover { parts }
    }

    /// The place of the first range that has an address in it.
    pub(crate) fn first_at(&self, address: u64) -> Option<usize> {
        let position = self.parts.partition_point(|(range, _)| range.end <= address);
        let (range, place) = self.parts.get(position)?;
        range.contains(&address).then_some(*place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_in_the_first_range_that_has_it(
            ranges in prop::collection::vec((0..100_u64, 0..40_u64), 0..12),
        ) {
            let ranges: Vec<Range<u64>> =
                ranges.into_iter().map(|(start, size)| start..start + size).collect();
            let cover = Cover::new(ranges.iter().cloned().enumerate());
            for address in 0..150 {
                let first = ranges.iter().position(|range| range.contains(&address));
                prop_assert_eq!(cover.first_at(address), first);
            }
        }
    }
}
