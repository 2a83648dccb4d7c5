//! The names of the sections that debug information is in, as ELF has them.

use gimli::RunTimeEndian;

use super::macros::Macros;
use super::ranges::Ranges;
use super::section::Section;
use super::strings::Strings;
use super::units::Dwarf;
use crate::Error;

/// The names of the sections that debug information is in.
pub(crate) struct Names {
    info: &'static str,
    abbrev: &'static str,
    line: &'static str,
    str: &'static str,
    str_offsets: &'static str,
    macros: &'static str,
    macinfo: &'static str,
}

/// Of a linked image.
pub(crate) const WHOLE: Names = Names {
    info: ".debug_info",
    abbrev: ".debug_abbrev",
    line: ".debug_line",
    str: ".debug_str",
    str_offsets: ".debug_str_offsets",
    macros: ".debug_macro",
    macinfo: ".debug_macinfo",
};

/// Of a split unit, and of a package of them.
pub(crate) const SPLIT: Names = Names {
    info: ".debug_info.dwo",
    abbrev: ".debug_abbrev.dwo",
    line: ".debug_line.dwo",
    str: ".debug_str.dwo",
    str_offsets: ".debug_str_offsets.dwo",
    macros: ".debug_macro.dwo",
    macinfo: ".debug_macinfo.dwo",
};

impl Names {
    /// The sections of a file of `length` bytes. `section` gives that of a name, empty if there is
    /// none.
    pub(crate) fn of<'a>(
        &self,
        section: impl Fn(&'static str) -> Result<Section<'a>, Error>,
        endian: RunTimeEndian,
        length: u64,
    ) -> Result<Dwarf<'a>, Error> {
        // What says whose an address is stays with the linked image.
        let whole = |name| {
            if self.info == WHOLE.info { section(name) } else { Ok(Section::empty(name)) }
        };
        let strings = Strings::new(
            section(self.str)?,
            whole(".debug_line_str")?,
            section(self.str_offsets)?,
            endian,
            length,
        );
        let ranges = Ranges::new(
            whole(".debug_addr")?,
            whole(".debug_ranges")?,
            whole(".debug_rnglists")?,
            whole(".debug_aranges")?,
            endian,
        );
        Ok(Dwarf {
            info: section(self.info)?,
            abbrev: section(self.abbrev)?,
            line: section(self.line)?,
            strings,
            ranges,
            macros: Macros::new(section(self.macros)?, section(self.macinfo)?, endian),
            endian,
        })
    }
}
