//! The versions of symbols, whose indices the loader follows unchecked.

use super::read;
use crate::dynamic::Tag;
use crate::symbol::string;
use crate::{Error, Image, Structure};

/// The highest version index that is given a meaning, `None` where symbols have no versions.
pub(super) fn check(image: &Image<'_>, strings: &[u8]) -> Result<Option<u16>, Error> {
    let needed = needed(image, strings)?;
    let defined = defined(image, strings)?;
    // 0 and 1 mean local and global without being defined.
    Ok(image.dynamic_value(Tag::VERSYM).map(|_| needed.max(defined).max(1)))
}

fn needed(image: &Image<'_>, strings: &[u8]) -> Result<u16, Error> {
    let structure = Structure::NeededVersions;
    let mut budget = Budget::new(image);
    let mut highest = 0;
    let mut next = image.dynamic_value(Tag::VERNEED);
    while let Some(address) = next {
        let entry = Entry::read(image, structure, address, 16)?;
        budget.spend(&entry)?;
        if entry.u16(0) == 0 && entry.u32(12) == 0 {
            let offset = image.offset_of(address, 16).unwrap_or(0);
            return Err(Error::ZeroFilled { structure, offset });
        }
        if entry.u16(0) != 1 {
            return Err(entry.wrong("unknown revision", u64::from(entry.u16(0))));
        }
        entry.check_name(strings, entry.u32(4))?;
        // glibc ends the process where the file is none of those that are loaded.
        if !is_needed(image, strings, entry.u32(4)) {
            return Err(entry.wrong("of a file that is not needed", u64::from(entry.u32(4))));
        }
        let mut name = entry.follow(entry.u32(8))?;
        while let Some(address) = name {
            let version = Entry::read(image, structure, address, 16)?;
            budget.spend(&version)?;
            version.check_name(strings, version.u32(8))?;
            highest = highest.max(version.u16(6) & INDEX);
            name = version.follow(version.u32(12))?;
        }
        next = entry.follow(entry.u32(12))?;
    }
    Ok(highest)
}

/// Whether the string at an offset is the name of a needed library.
fn is_needed(image: &Image<'_>, strings: &[u8], name: u32) -> bool {
    let needed =
        || image.dynamic().iter().filter(|entry| entry.tag == Tag::NEEDED).take(MOST_LIBRARIES);
    // Linkers merge equal strings, so that comparing them is seldom necessary.
    if needed().any(|entry| entry.value == u64::from(name)) {
        return true;
    }
    let Some(name) = string(strings, u64::from(name)) else { return false };
    let is_name = |start: u64| {
        let rest = usize::try_from(start).ok().and_then(|start| strings.get(start..));
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|it| it.first() == Some(&0))
    };
    needed().any(|entry| is_name(entry.value))
}

fn defined(image: &Image<'_>, strings: &[u8]) -> Result<u16, Error> {
    let structure = Structure::DefinedVersions;
    let mut highest = 0;
    let mut next = image.dynamic_value(Tag::VERDEF);
    while let Some(address) = next {
        let entry = Entry::read(image, structure, address, 20)?;
        if entry.u16(0) == 0 && entry.u32(16) == 0 {
            let offset = image.offset_of(address, 20).unwrap_or(0);
            return Err(Error::ZeroFilled { structure, offset });
        }
        if entry.u16(0) != 1 {
            return Err(entry.wrong("unknown revision", u64::from(entry.u16(0))));
        }
        highest = highest.max(entry.u16(4) & INDEX);
        // The loader reads the first name only.
        if let Some(address) = entry.follow(entry.u32(12))? {
            let name = Entry::read(image, structure, address, 8)?;
            name.check_name(strings, name.u32(0))?;
        }
        next = entry.follow(entry.u32(16))?;
    }
    Ok(highest)
}

/// An entry of one of the linked lists. Links are distances forward, so that a list ends at the
/// latest where its segment does.
struct Entry<'data> {
    structure: Structure,
    address: u64,
    layout: crate::layout::Layout,
    bytes: &'data [u8],
}

impl<'data> Entry<'data> {
    fn read(
        image: &Image<'data>,
        structure: Structure,
        address: u64,
        size: u64,
    ) -> Result<Entry<'data>, Error> {
        let bytes = read(image, structure, address, size)?;
        Ok(Entry { structure, address, layout: image.layout, bytes })
    }

    fn u16(&self, offset: usize) -> u16 {
        self.bytes.get(offset..).and_then(|bytes| self.layout.u16(bytes)).unwrap_or(0)
    }

    fn u32(&self, offset: usize) -> u32 {
        self.bytes.get(offset..).and_then(|bytes| self.layout.u32(bytes)).unwrap_or(0)
    }

    /// The address of the entry a link leads to, `None` for the last one's.
    fn follow(&self, link: u32) -> Result<Option<u64>, Error> {
        if link == 0 {
            return Ok(None);
        }
        match self.address.checked_add(u64::from(link)) {
            Some(address) if u64::from(link) >= SMALLEST => Ok(Some(address)),
            _ => Err(self.wrong("the next entry overlaps this one", u64::from(link))),
        }
    }

    fn check_name(&self, strings: &[u8], offset: u32) -> Result<(), Error> {
        if (offset as usize) < strings.len() {
            return Ok(());
        }
        Err(self.wrong("a name lies outside of the dynamic strings", u64::from(offset)))
    }

    fn wrong(&self, what: &'static str, found: u64) -> Error {
        Error::Malformed { structure: self.structure, at: self.address, what, found }
    }
}

/// How many entries a file can have at most. Lists that share their entries could otherwise be
/// walked for ever, although each of them ends.
struct Budget(usize);

impl Budget {
    fn new(image: &Image<'_>) -> Budget {
        Budget(usize::try_from(image.data.len() >> 3).unwrap_or(usize::MAX))
    }

    fn spend(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        self.0 =
            self.0.checked_sub(1).ok_or_else(|| entry.wrong("lists share their entries", 0))?;
        Ok(())
    }
}

/// Hundreds are rare. Without a limit, as many versions could each be looked for in a million.
const MOST_LIBRARIES: usize = 4096;

/// The bits of a version that are its index; the highest hides it.
const INDEX: u16 = 0x7fff;

/// The size of the smallest entry of any list.
const SMALLEST: u64 = 8;
