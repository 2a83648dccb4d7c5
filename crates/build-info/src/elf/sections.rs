//! The names of the sections that debug information is in.

use super::image::Image;
use crate::Error;
use crate::dwarf::{Dwarf, Macros, Ranges, Section, Strings};

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
    /// The sections of an image, whose file has `length` bytes.
    pub(crate) fn of<'a>(&self, image: &Image<'a>, length: u64) -> Result<Dwarf<'a>, Error> {
        let endian = image.endian;
        // What says whose an address is stays with the linked image.
        let whole = |name| {
            if self.info == WHOLE.info { image.section(name) } else { Ok(Section::empty(name)) }
        };
        Ok(Dwarf {
            info: image.section(self.info)?,
            abbrev: image.section(self.abbrev)?,
            line: image.section(self.line)?,
            strings: Strings::new(
                image.section(self.str)?,
                whole(".debug_line_str")?,
                image.section(self.str_offsets)?,
                endian,
                length,
            ),
            ranges: Ranges::new(
                whole(".debug_addr")?,
                whole(".debug_ranges")?,
                whole(".debug_rnglists")?,
                whole(".debug_aranges")?,
                endian,
            ),
            macros: Macros::new(image.section(self.macros)?, image.section(self.macinfo)?, endian),
            endian,
        })
    }
}
