//! The state as a value.

use super::atlas::Target;
use super::debug_info::Sort;
use super::report::{Refused, Resized, StateReport};
use super::scalar::{convert_unsure, may_be_number};
use super::variables::{Variable, matched};
use crate::sys;
use crate::version::Version;

/// The state of a version at one moment: the variables with their bytes, and what their pointers
/// into the image led to.
///
/// It belongs to no version: it can be restored into any, also after the version it was taken of is
/// gone. What the variables point to on the heap is not part of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: u32,
    variables: Vec<Saved>,
    /// That of the version's build.
    content: Option<u64>,
}

#[derive(Clone, Debug)]
struct Saved {
    variable: Variable,
    bytes: Vec<u8>,
    /// Words that led into the image, by their offset; `None` where what they led to has no name.
    pointers: Vec<(usize, Option<Target>)>,
}

const WORD: usize = size_of::<usize>();

impl Snapshot {
    /// The version that it was taken of.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The variables with their bytes, in the order of the image.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.variables.iter().map(|saved| (saved.variable.name.as_str(), saved.bytes.as_slice()))
    }

    pub(crate) fn of(version: &Version) -> Self {
        let mut atlas = None;
        let variables = version.state().variables.iter().filter_map(|variable| {
            let range = version.place(variable.address, variable.size);
            let mut bytes = vec![0; range.len()];
            if !sys::read(range.start, &mut bytes) {
                return None;
            }
            let first = range.start.next_multiple_of(WORD) - range.start;
            let mut pointers = Vec::new();
            for offset in (first..bytes.len()).step_by(WORD) {
                let Some(word) = word_at(&bytes, offset) else { break };
                if version.range().contains(&word) {
                    let atlas = atlas.get_or_insert_with(|| version.atlas());
                    pointers.push((offset, atlas.as_ref().and_then(|atlas| atlas.describe(word))));
                }
            }
            Some(Saved { variable: variable.clone(), bytes, pointers })
        });
        let content = version.state().content;
        Self { version: version.number(), variables: variables.collect(), content }
    }

    pub(crate) fn restore(&self, version: &Version) -> StateReport {
        let mut report = StateReport::default();
        let current = &version.state().variables;
        let before: Vec<Variable> =
            self.variables.iter().map(|saved| saved.variable.clone()).collect();
        let matched = matched((&before, self.content), (current, version.state().content));
        let mut atlas = None;
        for (saved, place) in matched.pairs {
            let (Some(saved), Some(place)) = (self.variables.get(saved), current.get(place)) else {
                continue;
            };
            let name = place.name.clone();
            let mut bytes = saved.bytes.clone();
            let moved = saved.pointers.iter().all(|(offset, target)| {
                let atlas = atlas.get_or_insert_with(|| version.atlas());
                let address = atlas
                    .as_ref()
                    .zip(target.as_ref())
                    .and_then(|(atlas, target)| atlas.resolve(target));
                match (address, bytes.get_mut(*offset..offset.saturating_add(WORD))) {
                    (Some(address), Some(word)) => {
                        word.copy_from_slice(&address.to_ne_bytes());
                        report.translated += 1;
                        true
                    }
                    _ => false,
                }
            });
            let range = version.place(place.address, place.size);
            let resized = saved.variable.size != place.size;
            let mut is_told = true;
            if resized && may_be_number(saved.variable.size) && may_be_number(place.size) {
                // What it was when it was saved is not known any more.
                let converted = match version.sort(place) {
                    Some(Sort::Number(is)) if is.size as u64 == place.size => {
                        convert_unsure(&bytes, is)
                    }
                    Some(_) => Some(bytes.clone()),
                    None => None,
                };
                is_told = converted.is_some();
                bytes = converted.unwrap_or_default();
            }
            bytes.truncate(range.len());
            if !is_told {
                let reason = "its size is another, and it cannot be told what number it is then";
                report.refused.push(Refused { name, reason: reason.to_owned() });
            } else if !moved {
                let reason = "it points to something that this version does not have".to_owned();
                report.refused.push(Refused { name, reason });
            } else if !sys::write(range.start, &bytes) {
                let reason = "its memory is not accessible".to_owned();
                report.refused.push(Refused { name, reason });
            } else {
                report.bytes += bytes.len() as u64;
                if !resized {
                    report.carried.push(name);
                } else {
                    report.resized.push(Resized {
                        name,
                        from: saved.variable.size,
                        to: place.size,
                    });
                }
            }
        }
        let name = |variable: &Variable| variable.name.clone();
        report.new = matched.new.iter().filter_map(|&i| current.get(i)).map(name).collect();
        let saved = |indices: &[usize]| -> Vec<String> {
            indices
                .iter()
                .filter_map(|&i| self.variables.get(i))
                .map(|s| name(&s.variable))
                .collect()
        };
        report.dropped = saved(&matched.dropped);
        let reason = "several variables of this version go by this name";
        report.refused.extend(
            saved(&matched.ambiguous)
                .into_iter()
                .map(|name| Refused { name, reason: reason.to_owned() }),
        );
        report
    }
}

fn word_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let word = bytes.get(offset..offset.checked_add(WORD)?)?;
    Some(usize::from_ne_bytes(word.try_into().ok()?))
}
