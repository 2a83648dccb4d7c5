//! Relocation entries of `LC_DYSYMTAB`, which images had before there were opcodes.

use object::{Endianness, macho, pod};

use super::{Binding, Fixup, FixupTarget};
use crate::command::Command;
use crate::header::Class;
use crate::strings::Strings;
use crate::{Cpu, Error, Image, Structure};

/// The external relocations of an image, then its local ones.
#[derive(Debug, Clone)]
pub(super) struct Classic<'image, 'data> {
    image: &'image Image<'data>,
    external: &'data [u8],
    local: &'data [u8],
    symbols: &'data [u8],
    names: Strings<'data>,
    /// The address that the entries count from.
    base: u64,
    /// Where the load command is.
    at: u64,
}

impl<'image, 'data> Classic<'image, 'data> {
    pub(super) fn new(
        image: &'image Image<'data>,
        command: &Command<'data>,
    ) -> Result<Self, Error> {
        let table = |at| {
            let (offset, count) = image.pair(command, at).unwrap_or((0, 0));
            image.table(Structure::Segment, (offset, count.saturating_mul(ENTRY as u64)))
        };
        let (external, local) = (table(EXTERNAL)?, table(LOCAL)?);
        let (mut symbols, mut strings): (&[u8], &[u8]) = (&[], &[]);
        let symtab = image.command(crate::CommandKind::SYMTAB).filter(|_| !external.is_empty());
        let places = symtab.and_then(|it| image.pair(&it, 8).zip(image.pair(&it, 16)));
        if let Some(((offset, count), text)) = places {
            let size = count.saturating_mul(image.layout.symbol_size() as u64);
            symbols = image.table(Structure::Symbols, (offset, size))?;
            strings = image.table(Structure::Symbols, text)?;
        }
        let names = Strings::new(strings);
        let (base, at) = (base(image), command.offset);
        Ok(Classic { image, external, local, symbols, names, base, at })
    }

    pub(super) fn next(&mut self) -> Result<Option<Fixup<'data>>, Error> {
        if let Some((entry, rest)) = self.external.split_at_checked(ENTRY) {
            self.external = rest;
            return self.fixup(entry, true).map(Some);
        }
        if let Some((entry, rest)) = self.local.split_at_checked(ENTRY) {
            self.local = rest;
            return self.fixup(entry, false).map(Some);
        }
        Ok(None)
    }

    fn fixup(&self, entry: &[u8], is_external: bool) -> Result<Fixup<'data>, Error> {
        let endian = self.image.layout.endian;
        let malformed = |what, found| Error::malformed(Structure::Segment, self.at, what, found);
        let Ok((raw, _)) = pod::from_bytes::<macho::Relocation<Endianness>>(entry) else {
            return Err(malformed("a relocation that is not there", 0_u32));
        };
        // A scattered entry has its address in 24 bits, and the value instead of a symbol.
        let is_scattered =
            self.image.header().class == Class::MachO32 && raw.r_word0.get(endian) & SCATTERED != 0;
        let (offset, length, symbol) = if is_scattered {
            let info = raw.scattered_info(endian);
            (info.r_address, info.r_length, 0)
        } else {
            let info = raw.info(endian);
            (info.r_address, info.r_length, info.r_symbolnum)
        };
        let size = match length {
            2 => 4,
            3 => 8,
            other => return Err(malformed("a relocation of an odd length", u32::from(other))),
        };
        // Offsets are signed where the base is in the middle of the image.
        let address = self.base.wrapping_add(i64::from(offset.cast_signed()).cast_unsigned());
        if self.image.segment_at(address).is_none() {
            return Err(malformed("a relocation outside of every segment", offset));
        }
        let target = if is_external {
            let name = self.name(symbol).ok_or_else(|| malformed("no such symbol", symbol))?;
            let binding = Binding::Eager;
            FixupTarget::Symbol { name, library: None, addend: 0, binding }
        } else {
            let bytes = self.image.bytes_at(address, size).unwrap_or_default();
            let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
            FixupTarget::Address(match endian {
                Endianness::Little => bytes.iter().rev().fold(0, fold),
                Endianness::Big => bytes.iter().fold(0, fold),
            })
        };
        let size = if size == 4 { 4 } else { 8 };
        Ok(Fixup { address, size, target, authentication: None })
    }

    fn name(&self, symbol: u32) -> Option<&'data [u8]> {
        let layout = self.image.layout;
        let start = usize::try_from(symbol).ok()?.checked_mul(layout.symbol_size())?;
        let raw = layout.symbol(self.symbols.get(start..)?)?;
        Some(self.names.at(raw.name))
    }
}

/// What relocation entries count from: the first writable segment on x86-64 and where the
/// read-only and writable segments may be mapped apart, the first segment elsewhere.
fn base(image: &Image<'_>) -> u64 {
    let header = image.header();
    let is_split = header.flags.0 & macho::MH_SPLIT_SEGS.0 != 0;
    let writable = image.segments().iter().find(|segment| segment.permissions.is_writable());
    let first = image.segments().first();
    let found = if is_split || header.cpu.family == Cpu::X86_64.family { writable } else { first };
    found.map_or(0, |segment| segment.address)
}

/// The size of a relocation entry.
const ENTRY: usize = 8;
/// Where `extreloff` and `nextrel` are in the load command.
const EXTERNAL: usize = 64;
/// Where `locreloff` and `nlocrel` are in the load command.
const LOCAL: usize = 72;
/// `R_SCATTERED`.
const SCATTERED: u32 = 0x8000_0000;
