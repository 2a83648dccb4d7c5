//! `.ninja_deps`: which files each thing was made from, as compilers told Ninja.
//!
//! After a line and a version (3 and 4 differ in the width of times) come records, each with its
//! size before it. One with its top bit clear is a path, padded with zeros, and the complement of
//! its number, which counts up. One with the bit set is a number, a time, and the numbers of what
//! it was made from; of two for one number the later counts. Whoever is interrupted while writing
//! leaves half a record, and Ninja takes what is before it.

use std::sync::Arc;

use super::malformed;
use crate::Error;

/// Ninja's log of dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NinjaLog {
    paths: Vec<Arc<str>>,
    /// By the number of what was made.
    made_from: Vec<Option<Entry>>,
    /// Whether it ends in the middle of a record, which is left out.
    pub is_cut: bool,
}

/// From which files something was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependencies<'a> {
    /// What was made, relative to where Ninja ran.
    pub output: &'a str,
    /// When it was last changed, as Ninja counts: nanoseconds in version 4, seconds in version 3.
    pub modified: u64,
    /// The files, each relative to where Ninja ran.
    pub inputs: Vec<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    modified: u64,
    inputs: Vec<u32>,
}

impl NinjaLog {
    /// Takes a log apart.
    ///
    /// # Errors
    ///
    /// It is no log of version 3 or 4, or a record is impossible, which Ninja takes for damage of
    /// the whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let found = bytes.get(..bytes.len().min(16)).unwrap_or_default().to_vec();
            return Err(Error::WrongFormat { expected: "Ninja's log of dependencies", found });
        };
        let structure = ".ninja_deps version";
        let Some((&version, mut rest)) = rest.split_first_chunk::<4>() else {
            let end = bytes.len() as u64;
            return Err(Error::Short { structure, wanted: 4, offset: MAGIC.len() as u64, end });
        };
        let version = u32::from_le_bytes(version);
        if !matches!(version, 3 | 4) {
            let what = "neither 3 nor 4";
            let (at, found) = (MAGIC.len() as u64, u64::from(version));
            return Err(Error::Malformed { structure, at, what, found });
        }
        let mut log = Self { paths: Vec::new(), made_from: Vec::new(), is_cut: false };
        while !rest.is_empty() {
            let at = bytes.len().saturating_sub(rest.len());
            let Some((&size, after)) = rest.split_first_chunk::<4>() else {
                log.is_cut = true;
                break;
            };
            let size = u32::from_le_bytes(size);
            let length = size & !DEPENDENCIES;
            if length > LONGEST {
                return Err(malformed(at, "longer than Ninja writes", length.into()));
            }
            let Some((record, after)) = after.split_at_checked(length as usize) else {
                log.is_cut = true;
                break;
            };
            if size & DEPENDENCIES == 0 {
                log.add_path(at, record)?;
            } else {
                log.add_dependencies(at, record, version)?;
            }
            rest = after;
        }
        Ok(log)
    }

    /// What each thing was made from, in the order in which Ninja first heard of them.
    pub fn dependencies(&self) -> impl Iterator<Item = Dependencies<'_>> {
        let path = |number: &u32| self.paths.get(*number as usize).map(|path| &**path);
        self.paths.iter().zip(&self.made_from).filter_map(move |(output, entry)| {
            let entry = entry.as_ref()?;
            let inputs = entry.inputs.iter().filter_map(path).collect();
            Some(Dependencies { output, modified: entry.modified, inputs })
        })
    }

    /// The same, as they are kept.
    pub(super) fn made_from(&self) -> impl Iterator<Item = (&str, Vec<Arc<str>>)> {
        self.paths.iter().zip(&self.made_from).filter_map(|(output, entry)| {
            let numbers = entry.as_ref()?.inputs.iter();
            let inputs = numbers.filter_map(|&number| self.paths.get(number as usize).cloned());
            Some((&**output, inputs.collect()))
        })
    }

    /// How many bytes the log has, but for what was written again.
    pub(super) fn length(&self) -> usize {
        let uses: usize = self.made_from.iter().flatten().map(|entry| entry.inputs.len()).sum();
        let paths: usize = self.paths.iter().map(|path| path.len()).sum();
        uses.saturating_mul(4).saturating_add(paths)
    }

    fn add_path(&mut self, at: usize, record: &[u8]) -> Result<(), Error> {
        let wrong = |what| malformed(at, what, record.len() as u64);
        let (path, check) = record.split_last_chunk::<4>().ok_or_else(|| wrong("no path"))?;
        let padding = path.iter().rev().take(3).take_while(|&&byte| byte == 0).count();
        let path = path.get(..path.len().saturating_sub(padding)).unwrap_or_default();
        if path.is_empty() {
            return Err(wrong("no path"));
        }
        if Ok(!u32::from_le_bytes(*check)) != u32::try_from(self.paths.len()) {
            return Err(malformed(at, "not the next path's number", self.paths.len() as u64));
        }
        self.paths.push(String::from_utf8_lossy(path).into());
        self.made_from.push(None);
        Ok(())
    }

    fn add_dependencies(&mut self, at: usize, record: &[u8], version: u32) -> Result<(), Error> {
        let wrong = |what| malformed(at, what, record.len() as u64);
        let (words, rest) = record.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(wrong("no whole number of words"));
        }
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let output = words.next().ok_or_else(|| wrong("no number of what was made"))?;
        let low = words.next().ok_or_else(|| wrong("no time"))?;
        let mut modified = u64::from(low);
        if version == 4 {
            modified |= u64::from(words.next().ok_or_else(|| wrong("half a time"))?) << 32;
        }
        let inputs: Vec<u32> = words.collect();
        let known = self.paths.len();
        if let Some(&unknown) = inputs.iter().find(|&&number| number as usize >= known) {
            return Err(malformed(at, "the number of no path", unknown.into()));
        }
        match self.made_from.get_mut(output as usize) {
            Some(entry) => *entry = Some(Entry { modified, inputs }),
            None => return Err(malformed(at, "the number of no path", output.into())),
        }
        Ok(())
    }
}

const MAGIC: &[u8] = b"# ninjadeps\n";
/// The bit of a record's size that says that it is of dependencies.
const DEPENDENCIES: u32 = 1 << 31;
/// The longest record that Ninja takes.
const LONGEST: u32 = (1 << 19) - 1;
