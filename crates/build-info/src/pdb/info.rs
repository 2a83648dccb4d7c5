//! The stream that says which PDB this is, what the named streams are, and what it has.

use crate::Error;

use super::bytes::{Bytes, u32_at};
use super::msf::{Msf, short};
use super::window::Window;

/// What the information stream says.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) guid: [u8; 16],
    /// How often the PDB was changed.
    pub(super) age: u32,
    /// The stream with the names of files.
    pub(super) names: Option<u16>,
    /// Whether there is a stream of identifiers; before Visual Studio 2012 there is none, and its
    /// number is another's.
    pub(super) has_ids: bool,
    /// Made with `/DEBUG:FASTLINK`: nearly everything has stayed in the object files.
    pub(super) is_minimal: bool,
}

impl Info {
    pub(super) fn read(msf: &Msf<'_>) -> Result<Self, Error> {
        let stream = msf.stream(STREAM).ok_or_else(|| short(STRUCTURE, 0, FIXED, 0))?;
        let mut window = Window::new(msf, stream, 1, 12);
        let mut fixed = Bytes(window.bytes(0, FIXED as u32, STRUCTURE)?);
        let (_version, _stamp, age) = (fixed.u32(), fixed.u32(), fixed.u32());
        let (guid, names_size) = (fixed.array(), fixed.u32());
        let mut info =
            Self { guid: guid.unwrap_or_default(), age: age.unwrap_or(0), ..Self::default() };
        // The names of streams, then a hash table from places in them to streams.
        let names = FIXED as u32;
        let names_end = names.saturating_add(names_size.unwrap_or(0));
        let mut at = names_end;
        let count = word(&mut window, at)?;
        at = at.saturating_add(8);
        for _bits in ["present", "deleted"] {
            at = at.saturating_add(4).saturating_add(word(&mut window, at)?.saturating_mul(4));
        }
        for _ in 0..count {
            let mut pair = Bytes(window.bytes(at, 8, STRUCTURE)?);
            let (name, stream) = (pair.u32().unwrap_or(0), pair.u32().unwrap_or(0));
            at = at.saturating_add(8);
            if window.text(names.saturating_add(name), names_end, STRUCTURE).ok() == Some(b"/names")
            {
                info.names = u16::try_from(stream).ok();
            }
        }
        while let Ok(feature) = word(&mut window, at) {
            match feature {
                VC110 | VC140 => info.has_ids = true,
                MINIMAL => info.is_minimal = true,
                _ => {}
            }
            at = at.saturating_add(4);
        }
        Ok(info)
    }
}

fn word(window: &mut Window<'_>, at: u32) -> Result<u32, Error> {
    let bytes = window.bytes(at, 4, STRUCTURE)?;
    u32_at(bytes, 0).ok_or_else(|| short(STRUCTURE, at.into(), 4, at.into()))
}

const STREAM: u16 = 1;
const STRUCTURE: &str = "PDB information stream";
/// The fields before the names.
const FIXED: u64 = 32;
const VC110: u32 = 20_091_201;
const VC140: u32 = 20_140_508;
const MINIMAL: u32 = u32::from_le_bytes(*b"MINI");
