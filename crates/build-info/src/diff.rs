//! What is different between two builds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::path::{Spelled, style};
use crate::{BuildInfo, Checksum, Linker, Unit, UnitId};

/// What is different between two builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The units that only the newer has, by its numbers.
    pub added: Vec<UnitId>,
    /// The units that only the older has, by its numbers.
    pub removed: Vec<UnitId>,
    /// The units that both have and that are not the same.
    pub changed: Vec<Changed>,
    /// The files that only the newer has.
    pub files_added: Vec<String>,
    /// The files that only the older has.
    pub files_removed: Vec<String>,
    /// The files that a unit of both saw with different checksums.
    pub files_changed: Vec<String>,
    /// What compiled or linked the newer alone.
    pub toolchains_added: Vec<String>,
    /// What compiled or linked the older alone.
    pub toolchains_removed: Vec<String>,
    /// Whether the linker, its directory or its command differs.
    pub linker: bool,
}

/// A unit that both builds have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its number in the older.
    pub before: UnitId,
    /// Its number in the newer.
    pub after: UnitId,
    /// What is different, ascending.
    pub what: Vec<Change>,
}

/// What is different of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Change {
    /// The arguments, compared one by one.
    Command,
    /// The directory of the compiler.
    Directory,
    /// The compiler: its path, what it calls itself, its versions.
    Compiler,
    /// What is known of how it was compiled.
    Flags,
    /// Which files it was made from.
    Files,
    /// What was in them.
    Contents,
    /// How many bytes it contributed.
    Size,
}

impl Diff {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl BuildInfo {
    /// What is different in a newer build.
    ///
    /// A unit is the same if its object has the same path, or its source where no object is known;
    /// of several with one path the first is the same as the first, and so on. What is left is
    /// matched by the last name alone, if there is only one of it in each.
    /// [Resolve](Self::resolve) both before.
    pub fn diff(&self, newer: &Self) -> Diff {
        let mut diff = Diff::default();
        let pairs = self.pairs(newer);
        let mut files_changed = BTreeSet::new();
        for &(before, after) in &pairs {
            let at = |id: UnitId| usize::try_from(id.0).unwrap_or(usize::MAX);
            let units = (self.units.get(at(before)), newer.units.get(at(after)));
            let (Some(old), Some(new)) = units else { continue };
            let (ours, theirs) = (self.files_of(old), newer.files_of(new));
            let contents: Vec<&str> = theirs
                .iter()
                .filter(|(path, sum)| ours.get(*path).is_some_and(|old| *old != **sum))
                .map(|(path, _)| *path)
                .collect();
            let mut what = changes(old, new);
            let keys_differ = !ours.keys().eq(theirs.keys());
            what.extend(keys_differ.then_some(Change::Files));
            what.extend((!contents.is_empty()).then_some(Change::Contents));
            what.sort_unstable();
            files_changed.extend(contents);
            if !what.is_empty() {
                diff.changed.push(Changed { before, after, what });
            }
        }
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = pairs.into_iter().unzip();
        let numbers = |units: &[Unit]| (0..).map(UnitId).zip(units).map(|(id, _)| id).collect();
        let all: [BTreeSet<UnitId>; 2] = [numbers(&self.units), numbers(&newer.units)];
        let [ours, theirs] = all;
        diff.removed = ours.difference(&old).copied().collect();
        diff.added = theirs.difference(&new).copied().collect();
        diff.files_changed = files_changed.into_iter().map(str::to_owned).collect();
        let paths = |info: &Self| -> BTreeSet<String> {
            info.files.iter().map(|file| file.path.clone()).collect()
        };
        (diff.files_removed, diff.files_added) = apart(paths(self), paths(newer));
        (diff.toolchains_removed, diff.toolchains_added) =
            apart(self.toolchains(), newer.toolchains());
        diff.linker = !same_linker(self.linker.as_ref(), newer.linker.as_ref());
        diff
    }

    /// What compiled and linked it, in the compilers' own words.
    pub fn toolchains(&self) -> BTreeSet<String> {
        let units = self.units.iter().filter_map(|unit| {
            let producer = unit.producer.clone()?;
            Some(match unit.back_end.or(unit.front_end) {
                Some(version) => format!("{producer} {version}"),
                None => producer,
            })
        });
        let linker = self.linker.as_ref().and_then(|linker| linker.producer.clone());
        units.chain(linker).collect()
    }

    /// The units that both have, in the order of the newer.
    fn pairs(&self, newer: &Self) -> Vec<(UnitId, UnitId)> {
        let mut pairs = Vec::new();
        let mut before = BTreeMap::<String, VecDeque<UnitId>>::new();
        for (id, unit) in (0..).map(UnitId).zip(&self.units) {
            before.entry(self.name_of(unit)).or_default().push_back(id);
        }
        let mut left = BTreeMap::<String, Vec<UnitId>>::new();
        for (id, unit) in (0..).map(UnitId).zip(&newer.units) {
            let name = newer.name_of(unit);
            match before.get_mut(&name).and_then(VecDeque::pop_front) {
                Some(same) => pairs.push((same, id)),
                None => left.entry(last_name(&name).to_owned()).or_default().push(id),
            }
        }
        let mut missing = BTreeMap::<&str, Vec<UnitId>>::new();
        for (name, ids) in &before {
            missing.entry(last_name(name)).or_default().extend(ids);
        }
        for (name, ids) in missing {
            if let ([old], Some([new])) = (&*ids, left.get(name).map(|ids| &**ids)) {
                pairs.push((*old, *new));
            }
        }
        pairs.sort_by_key(|(_, new)| *new);
        pairs
    }

    /// What a unit is known by: its object as it was named, or its source, and its archive.
    fn name_of(&self, unit: &Unit) -> String {
        let object = unit.object.as_ref().map(|object| &*object.value).filter(|it| !it.is_empty());
        let module = Some(&*unit.module).filter(|module| !module.is_empty());
        let source = unit.source.as_ref().map(|source| &*source.value);
        let path = object.or(module).or(source).unwrap_or_default();
        let key = Spelled::parse(path, style(self.format)).collapsed().key();
        format!("{}\n{key}", unit.archive.as_deref().unwrap_or_default())
    }

    fn files_of(&self, unit: &Unit) -> BTreeMap<&str, Option<&Checksum>> {
        let file = |one: &crate::FileUse| {
            let path = self.files.get(one.file.0 as usize)?.path.as_str();
            let sum = one.checksum.and_then(|sum| self.checksums.get(sum as usize));
            Some((path, sum))
        };
        unit.files.iter().filter_map(file).collect()
    }
}

fn changes(old: &Unit, new: &Unit) -> Vec<Change> {
    let arguments = |unit: &Unit| unit.command.as_ref().map(|command| command.value.arguments());
    let value = |fact: &Option<crate::Fact<String>>| fact.as_ref().map(|fact| fact.value.clone());
    let compiler =
        |unit: &Unit| (value(&unit.compiler), unit.producer.clone(), unit.front_end, unit.back_end);
    let definitions = |unit: &Unit| unit.definitions.clone();
    let differ = [
        (Change::Command, arguments(old) != arguments(new) || definitions(old) != definitions(new)),
        (Change::Directory, value(&old.cwd) != value(&new.cwd)),
        (Change::Compiler, compiler(old) != compiler(new)),
        (Change::Flags, old.flags != new.flags || old.kind != new.kind),
        (Change::Size, old.size != new.size),
    ];
    differ.into_iter().filter(|(_, differ)| *differ).map(|(change, _)| change).collect()
}

fn same_linker(one: Option<&Linker>, other: Option<&Linker>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    let value = |fact: &Option<crate::Fact<String>>| fact.as_ref().map(|fact| fact.value.clone());
    let arguments = |linker: &Linker| linker.command.as_ref().map(|it| it.value.arguments());
    one.producer == other.producer
        && value(&one.cwd) == value(&other.cwd)
        && value(&one.executable) == value(&other.executable)
        && arguments(one) == arguments(other)
}

fn last_name(path: &str) -> &str {
    path.rsplit(['/', '\\', '\n']).next().unwrap_or(path)
}

/// What only one and what only the other has.
fn apart(one: BTreeSet<String>, other: BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let of = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
    (of(&one, &other), of(&other, &one))
}
