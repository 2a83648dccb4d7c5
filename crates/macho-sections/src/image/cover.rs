//! Which of very many ranges an address is in.

use std::collections::BTreeSet;
use std::ops::Range;

/// From each address on, which range has it: the first of all that do. Ascending.
#[derive(Debug, Clone)]
pub(super) struct Cover(Vec<(u64, Option<usize>)>);

impl Cover {
    pub(super) fn new(ranges: impl Iterator<Item = Range<u64>>) -> Cover {
        let mut edges = Vec::new();
        for (place, range) in ranges.enumerate().filter(|(_, range)| !range.is_empty()) {
            edges.push((range.start, place, true));
            edges.push((range.end, place, false));
        }
        edges.sort_unstable();
        let mut open = BTreeSet::new();
        let mut steps: Vec<(u64, Option<usize>)> = Vec::new();
        for (address, place, is_start) in edges {
            if is_start {
                open.insert(place);
            } else {
                open.remove(&place);
            }
            let first = open.first().copied();
            match steps.last_mut() {
                Some(last) if last.0 == address => last.1 = first,
                _ => steps.push((address, first)),
            }
        }
        Cover(steps)
    }

    /// The place of the first range that has an address in it.
    pub(super) fn first_at(&self, address: u64) -> Option<usize> {
        let above = self.0.partition_point(|(start, _)| *start <= address);
        self.0.get(above.checked_sub(1)?)?.1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_answers_as_a_walk_over_all_ranges_does(
            ranges in prop::collection::vec((0..60_u64, 0..30_u64), 0..16),
        ) {
            let has = |&(start, size): &(u64, u64), at| (start..start + size).contains(&at);
            let cover = Cover::new(ranges.iter().map(|&(start, size)| start..start + size));
            for at in 0..100 {
                prop_assert_eq!(cover.first_at(at), ranges.iter().position(|it| has(it, at)));
            }
        }
    }
}
