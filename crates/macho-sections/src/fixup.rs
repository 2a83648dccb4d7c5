//! The words of an image that the loader writes before the program sees them.

mod chained;
mod classic;
mod opcodes;

use crate::command::CommandKind;
use crate::{Error, Image};

use chained::Chains;
use classic::Classic;
use opcodes::Opcodes;

/// A word that the loader computes and writes.
///
/// Where fixups are chained, the word in the file is no address but a link of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fixup<'data> {
    /// The address of the word, before the slide is added.
    pub address: u64,
    /// How many bytes it has: 4 or 8.
    pub size: u8,
    /// What it becomes.
    pub target: FixupTarget<'data>,
    /// How it is signed, if pointers are authenticated.
    pub authentication: Option<Authentication>,
}

/// What a fixed up word becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FixupTarget<'data> {
    /// An address of the image itself, given before the slide is added.
    Address(u64),
    /// The address of a symbol.
    Symbol {
        /// Its name.
        name: &'data [u8],
        /// The library it is wanted from: counted from 1 as [`Image::libraries`] does, 0 for the
        /// image itself, -1 for the program, -2 for any image, -3 for a weak definition anywhere.
        /// `None` where the fixup does not say.
        library: Option<i32>,
        /// What is added to its address.
        addend: i64,
        /// When it is looked up.
        binding: Binding,
    },
    /// A number that shares a chain with pointers, in 32-bit images.
    Number(u64),
    /// An address in another level of a kernel's cache.
    Cache {
        /// The level.
        level: u8,
        /// The offset in it.
        offset: u64,
    },
}

/// When a symbol is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// At load.
    Eager,
    /// At load, and another image's definition may take its place.
    Weak,
    /// At the first call.
    Lazy,
}

/// How a pointer is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Authentication {
    /// The key: 0 and 1 for code (IA, IB), 2 and 3 for data (DA, DB).
    pub key: u8,
    /// The number that is mixed in.
    pub diversity: u16,
    /// Whether the address of the word is mixed in as well: such a word cannot be copied.
    pub by_address: bool,
}

/// The fixups of an image: chained ones, or else those of the rebase and bind opcodes, or else
/// those of the relocation entries that came before them.
///
/// After an error there are no more. An image has at most as many fixups as bytes; an encoding
/// that asks for more is an error, so that the walk is as bounded as the file is long.
#[derive(Debug, Clone)]
pub struct Fixups<'image, 'data> {
    source: Source<'image, 'data>,
    left: u64,
}

impl<'data> Image<'data> {
    /// The words that the loader writes, in the order of their encoding. None in an object file,
    /// whose relocations are for a linker.
    pub fn fixups(&self) -> Fixups<'_, 'data> {
        let left = self.data.len() as u64;
        Fixups { source: self.fixup_source().unwrap_or_else(Source::Failed), left }
    }

    fn fixup_source(&self) -> Result<Source<'_, 'data>, Error> {
        if self.header().kind == crate::FileKind::OBJECT {
            return Ok(Source::None);
        }
        if let Some(place) = self.linkedit(CommandKind::DYLD_CHAINED_FIXUPS) {
            return Ok(Source::Chained(Box::new(Chains::new(self, place)?)));
        }
        let opcodes = self.command(CommandKind::DYLD_INFO_ONLY);
        if let Some(command) = opcodes.or_else(|| self.command(CommandKind::DYLD_INFO)) {
            return Ok(Source::Opcodes(Box::new(Opcodes::new(self, &command)?)));
        }
        match self.command(CommandKind::DYSYMTAB) {
            Some(command) => Ok(Source::Classic(Box::new(Classic::new(self, &command)?))),
            None => Ok(Source::None),
        }
    }
}

impl<'data> Iterator for Fixups<'_, 'data> {
    type Item = Result<Fixup<'data>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.source {
            Source::None => return None,
            Source::Failed(error) => Err(error.clone()),
            Source::Chained(chains) => chains.next().transpose()?,
            Source::Opcodes(opcodes) => opcodes.next().transpose()?,
            Source::Classic(classic) => classic.next().transpose()?,
        };
        let next = next.and_then(|fixup| match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(fixup)
            }
            None => {
                let (structure, at) = (crate::Structure::Segment, fixup.address);
                Err(Error::malformed(structure, at, "more fixups than bytes", fixup.size))
            }
        });
        if next.is_err() {
            self.source = Source::None;
        }
        Some(next)
    }
}

/// Where fixups come from.
#[derive(Debug, Clone)]
enum Source<'image, 'data> {
    None,
    Failed(Error),
    Chained(Box<Chains<'image, 'data>>),
    Opcodes(Box<Opcodes<'image, 'data>>),
    Classic(Box<Classic<'image, 'data>>),
}
