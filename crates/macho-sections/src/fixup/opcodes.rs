//! `LC_DYLD_INFO`: small programs that say which words to rebase and which to bind.

use object::macho::{self, DyldInfoCommand};
use object::read::macho::{BindIterator, RebaseIterator};
use object::{Endianness, pod};

use super::{Binding, Fixup, FixupTarget};
use crate::command::Command;
use crate::{Error, Image, Structure};

/// What the opcodes of an image say.
#[derive(Debug, Clone)]
pub(super) struct Opcodes<'image, 'data> {
    image: &'image Image<'data>,
    /// Where the load command is.
    at: u64,
    rebases: RebaseIterator<'data>,
    binds: [(BindIterator<'data>, Binding); 3],
}

impl<'image, 'data> Opcodes<'image, 'data> {
    pub(super) fn new(
        image: &'image Image<'data>,
        command: &Command<'data>,
    ) -> Result<Self, Error> {
        let at = command.offset;
        let Ok((info, _)) = pod::from_bytes::<DyldInfoCommand<Endianness>>(command.bytes) else {
            let what = "too small for the opcodes' places";
            let size = command.bytes.len() as u64;
            return Err(Error::malformed(Structure::LoadCommand, at, what, size));
        };
        let (endian, word) = (image.layout.endian, image.header().class.word_size());
        let data = image.data;
        let short = |structure, offset: object::U32<Endianness>, size: object::U32<Endianness>| {
            move |_| Error::Short {
                structure,
                wanted: u64::from(size.get(endian)),
                offset: u64::from(offset.get(endian)),
                end: data.len() as u64,
            }
        };
        let binds = Structure::BindOpcodes;
        let rebase = short(Structure::RebaseOpcodes, info.rebase_off, info.rebase_size);
        let bind = short(binds, info.bind_off, info.bind_size);
        let weak = short(binds, info.weak_bind_off, info.weak_bind_size);
        let lazy = short(binds, info.lazy_bind_off, info.lazy_bind_size);
        Ok(Opcodes {
            image,
            at,
            rebases: info.rebases(endian, data, word).map_err(rebase)?,
            binds: [
                (info.binds(endian, data, word).map_err(bind)?, Binding::Eager),
                (info.weak_binds(endian, data, word).map_err(weak)?, Binding::Weak),
                (info.lazy_binds(endian, data, word).map_err(lazy)?, Binding::Lazy),
            ],
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Fixup<'data>>, Error> {
        let at = self.at;
        let unknown =
            |structure| move |_| Error::Unsupported { structure, at, what: "an opcode", found: 0 };
        let rebase = self.rebases.next().map_err(unknown(Structure::RebaseOpcodes))?;
        if let Some(rebase) = rebase {
            let size =
                if rebase.kind == macho::REBASE_TYPE_POINTER { self.word() } else { TEXT_WORD };
            let place = (rebase.segment_index, rebase.segment_offset);
            let address = self.address(Structure::RebaseOpcodes, place, size)?;
            let target = FixupTarget::Address(self.word_at(address, size));
            return Ok(Some(Fixup { address, size, target, authentication: None }));
        }
        for (binds, binding) in &mut self.binds {
            let Some(bind) = binds.next().map_err(unknown(Structure::BindOpcodes))? else {
                continue;
            };
            let binding = *binding;
            let size = if bind.kind == macho::BIND_TYPE_POINTER { self.word() } else { TEXT_WORD };
            let place = (bind.segment_index, bind.segment_offset);
            let address = self.address(Structure::BindOpcodes, place, size)?;
            let library = Some(bind.dylib.0);
            let (name, addend) = (bind.symbol, bind.addend);
            let target = FixupTarget::Symbol { name, library, addend, binding };
            return Ok(Some(Fixup { address, size, target, authentication: None }));
        }
        Ok(None)
    }

    fn word(&self) -> u8 {
        self.image.header().class.word_size()
    }

    /// The address of a word in a segment, which must hold all of it.
    fn address(&self, structure: Structure, place: (u8, u64), size: u8) -> Result<u64, Error> {
        let (index, offset) = place;
        let Some(segment) = self.image.segments().get(usize::from(index)) else {
            return Err(Error::malformed(structure, self.at, "a segment that is not there", index));
        };
        let end = offset.checked_add(u64::from(size));
        if end.is_none_or(|end| end > segment.memory_size) {
            let what = "a word that leaves its segment";
            return Err(Error::malformed(structure, self.at, what, offset));
        }
        Ok(segment.address.wrapping_add(offset))
    }

    /// What a word holds in the file: the address before the slide is added.
    fn word_at(&self, address: u64, size: u8) -> u64 {
        let bytes = self.image.bytes_at(address, u64::from(size)).unwrap_or_default();
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        match self.image.layout.endian {
            Endianness::Little => bytes.iter().rev().fold(0, fold),
            Endianness::Big => bytes.iter().fold(0, fold),
        }
    }
}

/// Addresses within instructions have 32 bits, and so have those of 32-bit images.
const TEXT_WORD: u8 = 4;
