//! The debug information stream: the modules, and where everything about them is.

use crate::Error;

use super::bytes::{Bytes, u16_at};
use super::msf::{Msf, Stream, malformed, short};
use super::window::Window;

/// The stream's header, and where its parts are.
#[derive(Debug)]
pub(super) struct Dbi {
    pub(super) stream: Stream,
    pub(super) age: u32,
    /// The streams of symbols by name, of public symbols, and of the symbols themselves.
    pub(super) globals: u16,
    pub(super) publics: u16,
    pub(super) symbols: u16,
    pub(super) modules: Part,
    pub(super) contributions: Part,
    pub(super) is_stripped: bool,
    /// The sections as linked, where the image was rearranged later.
    pub(super) original_sections: Option<u16>,
    /// The image's section headers.
    pub(super) sections: Option<u16>,
}

/// Where a part of a stream begins and ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A module as the list of modules has it.
pub(super) struct Module {
    pub(super) name: String,
    /// The archive that it is from, or its name again.
    pub(super) object_file: String,
    /// The stream with its symbols, if it has any.
    pub(super) stream: Option<u16>,
    /// Lengths of that stream's parts: symbols, lines of the old kind, lines of the new kind.
    pub(super) symbols: u32,
    pub(super) old_lines: u32,
    pub(super) lines: u32,
}

impl Dbi {
    pub(super) fn read(msf: &Msf<'_>) -> Result<Self, Error> {
        let stream = msf.stream(STREAM).ok_or_else(|| short(HEADER, 0, HEADER_SIZE, 0))?;
        let mut window = Window::new(msf, stream, 1, 12);
        let header = window.bytes(0, HEADER_SIZE as u32, HEADER)?;
        let bad = || short(HEADER, 0, HEADER_SIZE, 0);
        let mut fields = Bytes(header);
        let mut field = || fields.u32().ok_or_else(bad);
        let (signature, version, age) = (field()?, field()?, field()?);
        if signature != u32::MAX {
            return Err(malformed(HEADER, 0, "the signature is another", signature));
        }
        if version < VC41 {
            return Err(malformed(HEADER, 4, "the version is unknown", version));
        }
        let half = |at| u16_at(header, at).ok_or_else(bad);
        let (globals, publics, symbols) = (half(12)?, half(16)?, half(20)?);
        let is_stripped = half(56)? & STRIPPED != 0;
        // The sizes of the parts, in the order that the parts are in but for the last two.
        let mut sizes = Bytes(header.get(24..).unwrap_or_default());
        let mut size = || sizes.u32().ok_or_else(bad);
        let (modules, contributions, section_map) = (size()?, size()?, size()?);
        let (files, type_servers, _index) = (size()?, size()?, size()?);
        let (streams, edit_and_continue) = (size()?, size()?);
        let mut at = HEADER_SIZE as u32;
        let mut part = |size: u32| -> Result<Part, Error> {
            let start = at;
            let end = start.checked_add(size).filter(|&end| end <= stream.size);
            at = end.ok_or_else(|| short(PARTS, start.into(), size.into(), stream.size.into()))?;
            Ok(Part { start, end: at })
        };
        let (modules, contributions) = (part(modules)?, part(contributions)?);
        let mut further = None;
        for size in [section_map, files, type_servers, edit_and_continue, streams] {
            // What is after the contributions is of little weight: it may be damaged.
            match part(size) {
                Ok(part) => further = Some(part),
                Err(_) => {
                    further = None;
                    break;
                }
            }
        }
        let mut stream_at = |index: u32| {
            let part = further?;
            let at = part.start.saturating_add(index.saturating_mul(2));
            (at < part.end).then_some(())?;
            u16_at(window.bytes(at, 2, PARTS).ok()?, 0).filter(|&stream| stream != NONE)
        };
        let (sections, original_sections) = (stream_at(5), stream_at(10));
        Ok(Self {
            stream,
            age,
            globals,
            publics,
            symbols,
            modules,
            contributions,
            is_stripped,
            original_sections,
            sections,
        })
    }

    /// The modules, and what is wrong where the list breaks off.
    pub(super) fn modules(&self, msf: &Msf<'_>) -> (Vec<Module>, Option<Error>) {
        let mut window = Window::new(msf, self.stream, 1, 16);
        let (mut modules, mut at) = (Vec::new(), self.modules.start);
        while self.modules.end.saturating_sub(at) >= MODULE_SIZE {
            if modules.len() >= MOST_MODULES {
                let what = "there are more modules than can be numbered";
                return (modules, Some(malformed(MODULES, at, what, MOST_MODULES as u64)));
            }
            match self.module(&mut window, at) {
                Ok((module, next)) => {
                    modules.push(module);
                    at = next;
                }
                Err(error) => return (modules, Some(error)),
            }
        }
        (modules, None)
    }

    fn module(&self, window: &mut Window<'_>, at: u32) -> Result<(Module, u32), Error> {
        let mut fields = Bytes(window.bytes(at, MODULE_SIZE, MODULES)?);
        fields.take(34);
        let stream = fields.u16().filter(|&stream| stream != NONE);
        let mut size = || fields.u32().unwrap_or(0);
        let (symbols, old_lines, lines) = (size(), size(), size());
        let name_at = at.saturating_add(MODULE_SIZE);
        let (name, object_at) = text(window, name_at, self.modules.end)?;
        let (object_file, end) = text(window, object_at, self.modules.end)?;
        // Aligned from the start of the list, which is aligned itself.
        let next = end.checked_next_multiple_of(4).unwrap_or(u32::MAX);
        Ok((Module { name, object_file, stream, symbols, old_lines, lines }, next))
    }
}

/// A string, and where what follows it begins.
fn text(window: &mut Window<'_>, at: u32, end: u32) -> Result<(String, u32), Error> {
    let text = window.text(at, end, MODULES)?;
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let text = String::from_utf8_lossy(text).into_owned();
    Ok((text, at.saturating_add(length).saturating_add(1)))
}

const STREAM: u16 = 3;
const NONE: u16 = u16::MAX;
const HEADER: &str = "header of the debug information stream";
const PARTS: &str = "debug information stream";
const MODULES: &str = "list of modules";
const HEADER_SIZE: u64 = 64;
const MODULE_SIZE: u32 = 64;
const VC41: u32 = 930_803;
const STRIPPED: u16 = 2;
const MOST_MODULES: usize = 1 << 16;
