//! Places in a program's text that its maker has marked for observers.

use object::elf;

use crate::identify::notes;
use crate::layout::Layout;
use crate::memory::Memory;
use crate::section::Sections;

/// A static probe, as `<sys/sdt.h>` makes it: an instruction that does nothing, and a note in the
/// file that says where it is and what can be found there.
///
/// A loader that has some tells by them what it has completed: see [`Site::Probes`].
///
/// [`Site::Probes`]: crate::Site::Probes
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Probe {
    /// Whose it is: `rtld` for glibc's loader.
    pub provider: Vec<u8>,
    /// What has happened when it is reached. A compiler may have made several places of one.
    pub name: Vec<u8>,
    /// The image's own address of the instruction: the bias is to be added.
    pub address: u64,
    /// The image's own address of a counter without which the program jumps over the probe; 0
    /// where there is none.
    pub semaphore: u64,
    /// Where its arguments are: `8@%rax 8@-24(%rbp)`, by the processor's names.
    pub arguments: Vec<u8>,
}

impl Probe {
    /// The probes of an image, given its file as memory whose addresses are the file's offsets. The
    /// notes are in no segment, and so not in the memory of a process.
    ///
    /// Of the notes no more than 4 MiB are read, and no more than 65,536 probes.
    pub fn all_of<M: Memory + ?Sized>(file: &M) -> Vec<Probe> {
        let Some(sections) = Sections::of(file) else { return Vec::new() };
        let base = sections.named(b".stapsdt.base").map(|section| section.address);
        let mut left = MOST_NOTES;
        let mut probes = Vec::new();
        for section in sections.iter().filter(|section| section.kind == elf::SHT_NOTE.0) {
            let bytes = sections.contents(&section, left);
            left = left.saturating_sub(bytes.len());
            let of_probes = notes(sections.layout, &bytes, section.align)
                .filter(|note| note.name == b"stapsdt" && note.kind == NT_STAPSDT)
                .filter_map(|note| Probe::parse(sections.layout, note.descriptor, base));
            probes.extend(of_probes.take(MOST_PROBES.saturating_sub(probes.len())));
        }
        probes
    }

    /// Three words and three strings. The words are as they were linked; whatever has moved the
    /// image's addresses since has moved the section that they name too.
    fn parse(layout: Layout, descriptor: &[u8], base: Option<u64>) -> Option<Probe> {
        let word = |index| layout.nth_word(descriptor, index);
        let (address, linked_base, semaphore) = (word(0)?, word(1)?, word(2)?);
        let moved = base.map_or(0, |base| layout.subtract(base, linked_base));
        let strings = descriptor.get(layout.word_size().checked_mul(3)?..)?;
        let mut strings = strings.split(|&byte| byte == 0).map(<[u8]>::to_vec);
        Some(Probe {
            provider: strings.next()?,
            name: strings.next()?,
            address: layout.add(address, moved),
            semaphore: if semaphore == 0 { 0 } else { layout.add(semaphore, moved) },
            arguments: strings.next()?,
        })
    }
}

const NT_STAPSDT: u32 = 3;
const MOST_NOTES: usize = 4 << 20;
const MOST_PROBES: usize = 1 << 16;
