//! The state of one version becomes that of the next.

use std::ops::Range;

use super::debug_info::Sort;
use super::relink::{Reach, Relinker};
use super::report::{Refused, Resized, StateReport};
use super::scalar::{Scalar, may_be_number};
use super::variables::{StateMap, Variable, matched};
use crate::builder::{Options, StatePolicy};
use crate::sys::{self, Spare};
use crate::version::Version;

/// Why a build is refused under a policy that asks for like sections; nothing has been touched yet.
pub(crate) fn refusal(options: &Options, old: &StateMap, new: &StateMap) -> Option<String> {
    let policy = options.state;
    let compared = |map: &StateMap| {
        let untagged = map.untagged.iter().filter(|_| options.by_name);
        map.sections.iter().chain(untagged).cloned().collect::<Vec<_>>()
    };
    let sizes = |map: &StateMap| {
        compared(map).iter().map(|section| section.end - section.start).collect::<Vec<_>>()
    };
    let fits = match policy {
        StatePolicy::Off => return None,
        StatePolicy::BySymbol if !options.refuse_hidden => return None,
        StatePolicy::BySymbol => true,
        StatePolicy::Identical => compared(old) == compared(new),
        StatePolicy::SameSize => sizes(old) == sizes(new),
        StatePolicy::Fits => {
            let (old, new) = (sizes(old), sizes(new));
            old.len() <= new.len() && old.iter().zip(&new).all(|(old, new)| old <= new)
        }
    };
    if old.headerless || new.headerless {
        let which = if new.headerless { "it" } else { "the version that runs" };
        return Some(format!(
            "{which} has no section headers to find the state by; keep them when stripping"
        ));
    }
    if options.refuse_hidden && (is_nameless(old) || is_nameless(new)) && !are_alike(old, new) {
        return Some(
            "there are no names of variables (stripped), and the size of the state has changed"
                .to_owned(),
        );
    }
    (!fits).then(|| {
        format!(
            "the state sections are {:x?} and were {:x?}, which the policy {policy:?} does not allow",
            compared(new), compared(old)
        )
    })
}

/// Carries the state of `from` into `to`, whose constructors have run and nothing else.
///
/// `fresh` is called with each place in `to` that is about to be overwritten, so that what was
/// constructed there can be destroyed first. `spare` is memory that the new version may have.
/// `others` are the versions, `from` among them, whose images may be led into.
pub(crate) fn carry(
    options: &Options,
    from: &Version,
    to: &Version,
    others: &[&Version],
    spare: &mut Option<Spare>,
    mut fresh: impl FnMut(&Range<usize>),
) -> Carried {
    let mut carried = Carried::default();
    let report = &mut carried.report;
    let moves = match options.state {
        StatePolicy::Off => return carried,
        _ if options.refuse_hidden && (is_nameless(from.state()) || is_nameless(to.state())) => {
            by_section(from.state(), to.state(), report)
        }
        _ if options.by_name => by_symbol(from, to, report),
        StatePolicy::BySymbol => by_symbol(from, to, report),
        _ => by_section(from.state(), to.state(), report),
    };
    let mut relinker = Relinker::new(to, others, options.search_limit);
    // As image addresses: the search takes words for pointers, and it must not find and change
    // these.
    let mut done = Vec::new();
    let mut renewed = Vec::new();
    for Move { name, old, new, size, numbers } in moves {
        if let Some(numbers) = numbers {
            if convert(from, old, to, new, &numbers) {
                report.bytes += size;
            } else {
                report.resized.retain(|resized| resized.name != name);
                let reason = "its new type does not hold its value".to_owned();
                report.refused.push(Refused { name, reason });
            }
            continue;
        }
        let (source, target) = (from.place(old, size), to.place(new, size));
        fresh(&target);
        if sys::renew(&target, spare) {
            renewed.push((new, size));
        }
        if !copy(&source, &target, |piece| {
            relinker.look_through(&piece, |at| format!("{name}+{:#x}", at - target.start));
        }) {
            let reason = "its memory is not accessible".to_owned();
            report.refused.push(Refused { name, reason });
            continue;
        }
        report.bytes += size;
        done.push((old, new, size));
    }
    let reach = relinker.finish();
    report.translated = reach.translated;
    report.untranslated.clone_from(&reach.untranslated);
    carried.reach = reach;
    carried.sources = done.iter().map(|&(old, _, size)| from.place(old, size)).collect();
    carried.targets = done.iter().map(|&(_, new, size)| to.place(new, size)).collect();
    carried.renewed = renewed.iter().map(|&(new, size)| to.place(new, size)).collect();
    carried
}

/// What [`carry`] did.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) report: StateReport,
    pub(crate) reach: Reach,
    /// The memory of the old version whose content lives on elsewhere, and where.
    pub(crate) sources: Vec<Range<usize>>,
    pub(crate) targets: Vec<Range<usize>>,
    /// The memory of the new version that got other pages.
    pub(crate) renewed: Vec<Range<usize>>,
}

/// A stretch of state to be copied, by image addresses.
struct Move {
    name: String,
    old: u64,
    new: u64,
    size: u64,
    /// What sort of numbers it was and has become, where that has changed.
    numbers: Option<Numbers>,
}

/// A number, or an array of them, whose type has changed.
struct Numbers {
    was: Scalar,
    is: Scalar,
    /// As many as both versions have.
    count: usize,
}

impl Numbers {
    fn of(before: &Variable, was: Scalar, after: &Variable, is: Scalar) -> Self {
        let count = |variable: &Variable, number: Scalar| {
            usize::try_from(variable.size).unwrap_or(0).checked_div(number.size).unwrap_or(0)
        };
        Self { was, is, count: count(before, was).min(count(after, is)) }
    }
}

fn by_symbol(from: &Version, to: &Version, report: &mut StateReport) -> Vec<Move> {
    let (old, new) = (from.state(), to.state());
    let matched = matched((&old.variables, old.content), (&new.variables, new.content));
    let mut moves = Vec::new();
    for (before, after) in matched.pairs {
        let (Some(before), Some(after)) = (old.variables.get(before), new.variables.get(after))
        else {
            continue;
        };
        let name = after.name.clone();
        let mut numbers = None;
        if before.size != after.size {
            if before.whole || after.whole {
                report.refused.push(Refused {
                    name,
                    reason: format!(
                        "its variables have no names (stripped) and its size changed from {} to {} bytes",
                        before.size, after.size
                    ),
                });
                continue;
            }
            numbers = match (from.sort(before), to.sort(after)) {
                (Some(Sort::Number(was)), Some(Sort::Number(is))) if was != is => {
                    Some(Numbers::of(before, was, after, is))
                }
                (Some(_), Some(_)) => None,
                _ if may_be_number(before.size) && may_be_number(after.size) => {
                    report.refused.push(Refused { name, reason: untold(before, after) });
                    continue;
                }
                _ => None,
            };
            report.resized.push(Resized { name: name.clone(), from: before.size, to: after.size });
        } else {
            report.carried.push(name.clone());
        }
        let size = before.size.min(after.size);
        let (old, new) = (before.address, after.address);
        moves.push(Move { name: name.clone(), old, new, size, numbers });
        if let (Some(old), Some(new)) = (before.constructed, after.constructed) {
            let name = format!("guard of {name}");
            moves.push(Move { name, old, new, size: GUARD, numbers: None });
        }
    }
    let names = |variables: &[Variable], indices: &[usize]| -> Vec<String> {
        indices.iter().filter_map(|&index| variables.get(index)).map(|v| v.name.clone()).collect()
    };
    report.new = names(&new.variables, &matched.new);
    report.dropped = names(&old.variables, &matched.dropped);
    let several = "several variables differ in nothing but a number of the compiler's or linker's, and the debug information does not tell which is which";
    report.refused.extend(
        names(&old.variables, &matched.ambiguous)
            .into_iter()
            .map(|name| Refused { name, reason: several.to_owned() }),
    );
    let lacking = [(new.headerless, "new"), (old.headerless, "old")];
    if let Some((_, which)) = lacking.into_iter().find(|(headerless, _)| *headerless) {
        report.refused.push(Refused {
            name: crate::contract::STATE_SECTION.to_owned(),
            reason: format!(
                "the {which} build has no section headers, so that its state cannot be found; keep \
                 them when stripping"
            ),
        });
    }
    moves
}

/// Why a variable is refused that may be a number of another width now.
fn untold(before: &Variable, after: &Variable) -> String {
    format!(
        "its size changed from {} to {} bytes, and without debug information (-g) it cannot be told \
         whether it is a number, and whether that has a sign",
        before.size, after.size
    )
}

/// The size of a guard variable (Itanium C++ ABI, 2.8): 64 bits.
const GUARD: u64 = 8;

fn by_section(old: &StateMap, new: &StateMap, report: &mut StateReport) -> Vec<Move> {
    let mut moves = Vec::new();
    for (old, new) in old.sections.iter().zip(&new.sections) {
        let name = crate::contract::STATE_SECTION.to_owned();
        let (from, to) = (old.end - old.start, new.end - new.start);
        if from == to {
            report.carried.push(name.clone());
        } else {
            report.resized.push(Resized { name: name.clone(), from, to });
        }
        let size = from.min(to);
        moves.push(Move { name, old: old.start, new: new.start, size, numbers: None });
    }
    moves
}

/// Whether the state was stripped of the names of its variables.
fn is_nameless(map: &StateMap) -> bool {
    map.variables.iter().any(|variable| variable.whole)
}

/// Whether the state of the one fits in the place of the other.
fn are_alike(old: &StateMap, new: &StateMap) -> bool {
    let sizes = |map: &StateMap| -> Vec<u64> {
        map.sections.iter().map(|section| section.end - section.start).collect()
    };
    sizes(old) == sizes(new)
}

/// Writes numbers of the old version as the new one's type holds them, if it holds all.
fn convert(from: &Version, old: u64, to: &Version, new: u64, numbers: &Numbers) -> bool {
    let Numbers { was, is, count } = *numbers;
    let mut bytes = vec![0; was.size * count];
    if count == 0 || !sys::read(from.place(old, bytes.len() as u64).start, &mut bytes) {
        return false;
    }
    let converted: Option<Vec<Vec<u8>>> =
        bytes.chunks(was.size).map(|bytes| was.convert(bytes, is)).collect();
    converted.is_some_and(|all| {
        let all = all.concat();
        sys::write(to.place(new, all.len() as u64).start, &all)
    })
}

/// What is copied at once, and looked through while it is still in the cache.
const PIECE: usize = 128 << 10;

fn copy(
    source: &Range<usize>,
    target: &Range<usize>,
    mut copied: impl FnMut(Range<usize>),
) -> bool {
    let length = source.len().min(target.len());
    (0..length).step_by(PIECE).all(|done| {
        let size = (length - done).min(PIECE);
        let target = target.start + done..target.start + done + size;
        let accessible = sys::copy(source.start + done, target.start, size);
        if accessible {
            copied(target);
        }
        accessible
    })
}
