//! Macro information: every file that was opened, and the macros that the command line gave.

use std::collections::HashMap;
use std::rc::Rc;

use gimli::{
    DebugMacinfo, DebugMacinfoOffset, DebugMacro, DebugMacroOffset, EndianSlice, MacroEntry,
    MacroIter, MacroString, RunTimeEndian,
};

use super::line::Name;
use super::root::Root;
use super::section::{Section, malformed};
use super::strings::{Offsets, Strings};
use crate::Error;

/// The sections that macro information is in.
pub(crate) struct Macros<'a> {
    pub(crate) macros: Section<'a>,
    pub(crate) macinfo: Section<'a>,
    pub(crate) endian: RunTimeEndian,
    /// What was imported: compilers share what is predefined, and what a header defines.
    groups: HashMap<u64, Rc<[String]>>,
    /// How many entries may still be read: many units can name the same.
    left: u64,
}

/// What macro information says of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The numbers of the files that were opened, as the line table has them.
    pub(crate) files: Vec<u64>,
    /// `-D…` and `-U…`.
    pub(crate) definitions: Vec<String>,
}

impl<'a> Macros<'a> {
    pub(crate) fn new(macros: Section<'a>, macinfo: Section<'a>, endian: RunTimeEndian) -> Self {
        let left = macros.length().saturating_add(macinfo.length()).saturating_mul(2);
        Self { macros, macinfo, endian, groups: HashMap::new(), left }
    }

    /// What is said of a unit, or nothing if there is no macro information for it.
    ///
    /// `cpp` is whether it is C++, for which GCC defines a macro that C programs define themselves.
    pub(crate) fn read(
        &mut self,
        root: &Root,
        strings: &mut Strings<'_>,
        offsets: Option<Offsets>,
        cpp: bool,
    ) -> Result<Option<Said>, Error> {
        let (at, is_macro) = match (root.macros, root.macinfo) {
            (Some(at), _) => (at, true),
            (None, Some(at)) => (at, false),
            (None, None) => return Ok(None),
        };
        let section = if is_macro { &mut self.macros } else { &mut self.macinfo };
        if section.is_empty() {
            // Left out by the linker, or by what packs split units.
            return Ok(None);
        }
        section.all()?;
        let structure = section.name();
        let bad = |error| malformed(structure, at, error);
        let mut left = self.left;
        let mut entries = self.entries(at, is_macro).map_err(bad)?;
        let mut said = Said::default();
        let mut given = Vec::new();
        let mut imports = Vec::new();
        let mut depth = 0_u32;
        while let Some(entry) = entries.next().map_err(bad)? {
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(bad(gimli::Error::TooManyIterations));
            }
            match entry {
                MacroEntry::StartFile { file, .. } => {
                    depth = depth.saturating_add(1);
                    said.files.push(file);
                }
                MacroEntry::EndFile => depth = depth.saturating_sub(1),
                // Before the first file, and behind the last as clang has it.
                MacroEntry::Import { offset } if depth == 0 => imports.push(offset.0 as u64),
                entry if depth == 0 => given.extend(option(&entry, strings, offsets)),
                _ => {}
            }
        }
        self.left = left;
        let mut all = Vec::new();
        for import in imports {
            all.extend(self.group(import, strings, offsets)?.iter().cloned());
        }
        all.append(&mut given);
        said.definitions = of_command_line(all, cpp);
        Ok(Some(said))
    }

    fn entries(
        &self,
        at: u64,
        is_macro: bool,
    ) -> gimli::Result<MacroIter<EndianSlice<'_, RunTimeEndian>>> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if is_macro {
            let section = DebugMacro::new(self.macros.loaded(), self.endian);
            section.get_macros(DebugMacroOffset(at))
        } else {
            let section = DebugMacinfo::new(self.macinfo.loaded(), self.endian);
            section.get_macinfo(DebugMacinfoOffset(at))
        }
    }

    /// What a group that is imported before the first file defines: what is predefined, and, with
    /// GCC, what the command line gave.
    fn group(
        &mut self,
        at: u64,
        strings: &mut Strings<'_>,
        offsets: Option<Offsets>,
    ) -> Result<Rc<[String]>, Error> {
        if let Some(group) = self.groups.get(&at) {
            return Ok(group.clone());
        }
        let structure = self.macros.name();
        let bad = |error| malformed(structure, at, error);
        let mut given = Vec::new();
        let mut left = self.left;
        let mut entries = self.entries(at, true).map_err(bad)?;
        while let Some(entry) = entries.next().map_err(bad)? {
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(bad(gimli::Error::TooManyIterations));
            }
            given.extend(option(&entry, strings, offsets));
        }
        self.left = left;
        // Nothing before what is predefined last is the command line's.
        let group: Rc<[String]> = behind_predefined(given).into();
        self.groups.insert(at, group.clone());
        Ok(group)
    }
}

/// The option that has the effect of an entry.
fn option(
    entry: &MacroEntry<EndianSlice<'_, RunTimeEndian>>,
    strings: &mut Strings<'_>,
    offsets: Option<Offsets>,
) -> Option<String> {
    let (option, text) = match entry {
        MacroEntry::Define { line: 0, text } => ("-D", text),
        MacroEntry::Undef { line: 0, name } => ("-U", name),
        _ => return None,
    };
    let name = match text {
        MacroString::Direct(text) => Name::Inline(text.slice()),
        MacroString::StringPointer(at) => Name::Str(at.0 as u64),
        MacroString::IndirectStringPointer(index) => Name::Index(index.0 as u64),
        MacroString::Supplementary(at) => Name::Supplement(at.0 as u64),
    };
    let text = String::from_utf8_lossy(strings.bytes(name, offsets)?);
    Some(match text.split_once(' ') {
        Some((name, "1")) => format!("{option}{name}"),
        Some((name, value)) => format!("{option}{name}={value}"),
        None => format!("{option}{text}"),
    })
}

/// What the command line gave: what follows the last macro that compilers predefine, all of which
/// end with names between double underscores.
fn of_command_line(all: Vec<String>, cpp: bool) -> Vec<String> {
    let mut given = behind_predefined(all);
    let implied = |option: &String| {
        // `-pthread` defines the one, and g++ the other.
        option == "-D_REENTRANT" || cpp && option == "-D_GNU_SOURCE"
    };
    while given.first().is_some_and(implied) {
        given.remove(0);
    }
    // Defined once it is known how the assembler is to be told of frames.
    given.retain(|option| option != "-D__GCC_HAVE_DWARF2_CFI_ASM");
    given
}

fn behind_predefined(all: Vec<String>) -> Vec<String> {
    let is_predefined = |option: &String| {
        option.strip_prefix("-D__").is_some_and(|rest| {
            let name = rest.split(['=', '(']).next().unwrap_or_default();
            name.ends_with("__")
        })
    };
    let last = all.iter().rposition(is_predefined);
    all.into_iter().skip(last.map_or(0, |last| last.saturating_add(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_begins_behind_what_is_predefined() {
        let given = |all: &[&str], cpp| {
            of_command_line(all.iter().map(|&one| one.to_owned()).collect(), cpp)
        };
        assert_eq!(
            given(&["-Dunix", "-D__ELF__", "-D_GNU_SOURCE", "-DX=3", "-UY"], false),
            ["-D_GNU_SOURCE", "-DX=3", "-UY"]
        );
        assert_eq!(
            given(&["-D__ELF__", "-D_GNU_SOURCE", "-D_REENTRANT", "-D__STDC_FORMAT_MACROS"], true),
            ["-D__STDC_FORMAT_MACROS"]
        );
        assert!(given(&["-D__STDC_UTF_32__"], false).is_empty());
    }
}
