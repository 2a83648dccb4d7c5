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
    /// How many bytes of definitions may still be taken: many entries can have one long text.
    text_left: u64,
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
        let length = macros.length().saturating_add(macinfo.length());
        let (left, text_left) = (length.saturating_mul(2), length.saturating_mul(2).max(1 << 20));
        Self { macros, macinfo, endian, groups: HashMap::new(), left, text_left }
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
        let mut given = Given::new(self.text_left);
        let mut entries = self.entries(at, is_macro).map_err(bad)?;
        let mut said = Said::default();
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
                entry if depth == 0 => given.note(&entry, strings, offsets).map_err(bad)?,
                _ => {}
            }
        }
        self.left = left;
        self.text_left = given.left;
        let mut all = Vec::new();
        // Nothing before what is predefined last is the command line's.
        let imports = if given.is_behind_predefined { Vec::new() } else { imports };
        for import in imports {
            let group = self.group(import, strings, offsets)?;
            self.text_left = group
                .iter()
                .try_fold(self.text_left, |left, text| left.checked_sub(cost(text)))
                .ok_or_else(|| malformed(structure, at, gimli::Error::TooManyIterations))?;
            all.extend(group.iter().cloned());
        }
        all.append(&mut given.options);
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
        let mut given = Given::new(self.text_left);
        let mut left = self.left;
        let mut entries = self.entries(at, true).map_err(bad)?;
        while let Some(entry) = entries.next().map_err(bad)? {
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(bad(gimli::Error::TooManyIterations));
            }
            given.note(&entry, strings, offsets).map_err(bad)?;
        }
        self.left = left;
        self.text_left = given.left;
        let group: Rc<[String]> = given.options.into();
        self.groups.insert(at, group.clone());
        Ok(group)
    }
}

/// What may have been given on the command line: what follows the last macro that compilers
/// predefine.
struct Given {
    options: Vec<String>,
    is_behind_predefined: bool,
    /// How many bytes may still be taken.
    left: u64,
}

impl Given {
    fn new(left: u64) -> Self {
        Self { options: Vec::new(), is_behind_predefined: false, left }
    }

    fn note(
        &mut self,
        entry: &MacroEntry<EndianSlice<'_, RunTimeEndian>>,
        strings: &mut Strings<'_>,
        offsets: Option<Offsets>,
    ) -> gimli::Result<()> {
        let Some(option) = option(entry, strings, offsets) else { return Ok(()) };
        if is_predefined(&option) {
            self.options.clear();
            self.is_behind_predefined = true;
            return Ok(());
        }
        let left = self.left.checked_sub(cost(&option));
        self.left = left.ok_or(gimli::Error::TooManyIterations)?;
        self.options.push(option);
        Ok(())
    }
}

/// What an option takes, of the bytes that may be taken.
fn cost(option: &str) -> u64 {
    (option.len() as u64).saturating_add(8)
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

/// What the command line gave, of what follows the macros that compilers predefine.
fn of_command_line(all: Vec<String>, cpp: bool) -> Vec<String> {
    let mut given = all;
    let implied = |option: &String| {
        // `-pthread` defines the one, and g++ the other.
        option == "-D_REENTRANT" || cpp && option == "-D_GNU_SOURCE"
    };
    let first = given.iter().position(|option| !implied(option)).unwrap_or(given.len());
    given.drain(..first);
    // Defined once it is known how the assembler is to be told of frames.
    given.retain(|option| option != "-D__GCC_HAVE_DWARF2_CFI_ASM");
    given
}

/// Whether a macro is one that compilers predefine: nearly all of their names are between double
/// underscores, and the last of them are.
fn is_predefined(option: &str) -> bool {
    option.strip_prefix("-D__").is_some_and(|rest| {
        let name = rest.split(['=', '(']).next().unwrap_or_default();
        name.ends_with("__")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_predefine_is_told_by_its_name() {
        for (option, expected) in [
            ("-D__ELF__", true),
            ("-D__INT_MAX__=0x7fffffff", true),
            ("-D__INT8_C(c)=c", false),
            ("-D__STDC_FORMAT_MACROS", false),
            ("-D_GNU_SOURCE", false),
            ("-U__ELF__", false),
        ] {
            assert_eq!(is_predefined(option), expected, "{option}");
        }
    }

    #[test]
    fn what_the_driver_defines_is_not_the_command_lines() {
        let given = |all: &[&str], cpp| {
            of_command_line(all.iter().map(|&one| one.to_owned()).collect(), cpp)
        };
        assert_eq!(
            given(&["-D_GNU_SOURCE", "-DX=3", "-UY"], false),
            ["-D_GNU_SOURCE", "-DX=3", "-UY"]
        );
        assert_eq!(
            given(&["-D_GNU_SOURCE", "-D_REENTRANT", "-D__STDC_FORMAT_MACROS"], true),
            ["-D__STDC_FORMAT_MACROS"]
        );
        assert!(given(&["-D_REENTRANT"], false).is_empty());
    }
}
