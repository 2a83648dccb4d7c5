//! Files that are no longer where they were: looked for by the end of their names.

use std::collections::BTreeSet;

use super::resolve::{Placed, Resolve};
use super::spelling::{Spelled, Style};
use crate::Found;

/// That what was in one directory is now in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moved {
    from: String,
    to: String,
}

impl Resolve {
    /// Looks below the search roots for what is missing: first for as many last names as will fit,
    /// at least two unless the path has no more, then for single names beside what was found.
    pub(super) fn look_below_roots(&self, placed: &mut [Placed], style: Style) {
        let Some(disk) = self.disk_style().filter(|_| !self.roots.is_empty()) else { return };
        let missing = |one: &&mut Placed| one.found == Found::Missing;
        let mut moves = BTreeSet::new();
        for one in placed.iter_mut().filter(missing) {
            let path = one.path.clone();
            if let Some((found, moved)) = self.longest_end(&Spelled::parse(&path, style), disk) {
                moves.insert(moved);
                *one = Placed::at(found);
            }
        }
        for one in placed.iter_mut().filter(missing) {
            let path = one.path.clone();
            let path = Spelled::parse(&path, style);
            let from = path.clone().parent().key();
            let beside = moves.range(Moved { from: from.clone(), to: String::new() }..);
            let found = beside.take_while(|moved| moved.from == from).find_map(|moved| {
                let mut candidate = Spelled::parse(&moved.to, disk);
                candidate.names.extend(path.names.last());
                self.find(&candidate, path.style == Style::Windows)
            });
            if let Some(found) = found {
                *one = Placed::at(found);
            }
        }
    }

    fn longest_end(&self, path: &Spelled<'_>, disk: Style) -> Option<(String, Moved)> {
        let fewest = if path.is_absolute() { 2 } else { 1 };
        let names: Vec<&str> = path.names.iter().copied().filter(|name| *name != "..").collect();
        for skipped in 0..=names.len().saturating_sub(fewest).min(MOST_SKIPPED) {
            let (before, rest) = names.split_at_checked(skipped)?;
            if rest.len() < fewest {
                return None;
            }
            for root in &self.roots {
                let mut candidate = Spelled::parse(root, disk);
                candidate.names.extend(rest);
                if let Some(found) = self.find(&candidate, path.style == Style::Windows) {
                    let from = Spelled { names: before.to_vec(), ..path.clone() };
                    return Some((found, Moved { from: from.key(), to: root.clone() }));
                }
            }
        }
        None
    }
}

/// How many first names of a path may be wrong.
const MOST_SKIPPED: usize = 64;
