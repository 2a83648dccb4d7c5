//! New names in the dynamic strings.

use std::ops::Range;

use crate::dynamic::Tag;
use crate::symbol::string;
use crate::{Error, Image, Structure};

/// The dynamic strings with what is to be put into them.
pub(super) struct Strings<'data> {
    old: &'data [u8],
    /// What goes behind them, which means that all of them move.
    added: Vec<u8>,
    /// What replaces a string where it is: offset, new bytes up to the old one's end.
    pub(super) replaced: Vec<(usize, Vec<u8>)>,
    /// Old strings that some field will lead to from now on: from the first byte to behind the zero.
    given: Vec<Range<usize>>,
    /// The offsets at which some structure has a name, ascending.
    references: Vec<u64>,
    /// Whether those are all.
    is_whole: bool,
}

impl<'data> Strings<'data> {
    pub(super) fn new(image: &Image<'data>) -> Result<Strings<'data>, Error> {
        let old = image.dynamic_strings();
        if old.last() != Some(&0) {
            return Err(Error::Absent { structure: Structure::DynamicStrings });
        }
        let (references, is_whole) = references(image);
        let (added, replaced, given) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Strings { old, added, replaced, given, references, is_whole })
    }

    /// The offset of `name`, which is to stand where so far the string at `instead_of` stands.
    /// `fields` is how many fields of the image lead exactly there, all of which will lead to
    /// `name`.
    pub(super) fn place(&mut self, name: &[u8], instead_of: Option<(u64, usize)>) -> u64 {
        if let Some(found) = self.find(name) {
            return found;
        }
        if let Some((old, fields)) = instead_of
            && self.replace(name, old, fields).is_some()
        {
            return old;
        }
        let offset = self.old.len().saturating_add(self.added.len());
        self.added.extend_from_slice(name);
        self.added.push(0);
        offset as u64
    }

    /// All strings, if there are more than fit where they are.
    pub(super) fn grown(&self) -> Result<Option<Vec<u8>>, Error> {
        if self.added.is_empty() {
            return Ok(None);
        }
        // A name that is nowhere so far would become a part of a new one.
        if let Some(&found) = self.references.last().filter(|&&it| it >= self.old.len() as u64) {
            let (structure, what) = (Structure::DynamicStrings, "a name is not among them");
            return Err(Error::Malformed { structure, at: self.old.len() as u64, what, found });
        }
        let mut all = self.old.to_vec();
        for (offset, new) in &self.replaced {
            if let Some(target) = all.get_mut(*offset..).and_then(|it| it.get_mut(..new.len())) {
                target.copy_from_slice(new);
            }
        }
        all.extend_from_slice(&self.added);
        Ok(Some(all))
    }

    /// A string that is there already; one of the old ones stays as it is from now on.
    fn find(&mut self, name: &[u8]) -> Option<u64> {
        let is_untouched = |offset: &usize| {
            let end = offset.saturating_add(name.len());
            self.replaced
                .iter()
                .all(|(start, new)| end < *start || start.saturating_add(new.len()) <= *offset)
        };
        let ended = [name, b"\0"].concat();
        let in_old = memchr::memmem::find_iter(self.old, &ended).find(is_untouched);
        if let Some(offset) = in_old {
            self.given.push(offset..offset.saturating_add(ended.len()));
            return Some(offset as u64);
        }
        let place = memchr::memmem::find(&self.added, &ended)?;
        self.old.len().checked_add(place).map(|offset| offset as u64)
    }

    /// Puts `name` in a string's place, if nobody else uses any of its bytes.
    fn replace(&mut self, name: &[u8], offset: u64, fields: usize) -> Option<()> {
        let start = usize::try_from(offset).ok()?;
        let length = string(self.old, offset)?.len();
        if name.len() > length || self.replaced.iter().any(|(other, _)| *other == start) {
            return None;
        }
        let end = start.saturating_add(length);
        if self.given.iter().any(|given| given.start <= end && start < given.end) {
            return None;
        }
        // It may be the end of a longer one.
        let before = self.old.get(..start)?.iter().rposition(|&byte| byte == 0);
        let first = before.map_or(0, |zero| zero.saturating_add(1)) as u64;
        let from = self.references.partition_point(|&it| it < first);
        let until = self.references.partition_point(|&it| it <= end as u64);
        let users = self.references.get(from..until)?;
        if !self.is_whole || users.len() != fields || users.iter().any(|&user| user != offset) {
            return None;
        }
        let mut new = name.to_vec();
        new.resize(length, 0);
        self.replaced.push((start, new));
        Some(())
    }
}

/// The tags whose values are names.
const NAMES: [Tag; 9] = [
    Tag::NEEDED,
    Tag::SONAME,
    Tag::RPATH,
    Tag::RUNPATH,
    Tag::AUXILIARY,
    Tag::FILTER,
    Tag::CONFIG,
    Tag::DEPAUDIT,
    Tag::AUDIT,
];

/// The offsets, and whether they are all.
fn references(image: &Image<'_>) -> (Vec<u64>, bool) {
    let versions = image.version_names();
    let table = image.dynamic_symbol_table();
    let names = image.dynamic().iter().filter(|entry| NAMES.contains(&entry.tag));
    let mut references: Vec<u64> = names.map(|entry| entry.value).collect();
    references.extend((0..table.count).filter_map(|it| table.raw(it)).map(|it| u64::from(it.name)));
    references.extend(versions.names.iter().map(|version| u64::from(version.name)));
    references.sort_unstable();
    (references, image.is_dynamic_symbol_count_exact() && versions.is_whole)
}
