//! ELF images that are damaged where debug information is, or what says where it is.

use crate::dice::Dice;

/// Where sections with debug information are, and everything that says where those are.
pub fn debug_sections(image: &[u8]) -> Vec<(usize, usize)> {
    use object::read::elf::{FileHeader, SectionHeader};
    let mut places = vec![(0, image.len().min(64)), (0, image.len())];
    if let Ok(header) = object::elf::FileHeader64::<object::Endianness>::parse(image)
        && let Ok(endian) = header.endian()
        && let Ok(sections) = header.sections(endian, image)
    {
        let at = header.e_shoff.get(endian) as usize;
        places.push((at, image.len()));
        for section in sections.iter() {
            let name = sections.section_name(endian, section).unwrap_or_default();
            if let Some((at, size)) = section.file_range(endian)
                && (name.starts_with(b".debug") || name.starts_with(b".gnu_debug"))
                && size > 0
            {
                places.push((at as usize, (at + size) as usize));
                // Most of what matters is said at the start.
                places.push((at as usize, (at + size.min(48)) as usize));
            }
        }
    }
    places
}

/// The image with a few changes, of the kinds that readers trip over.
pub fn mutant(image: &[u8], places: &[(usize, usize)], dice: &mut Dice) -> Vec<u8> {
    let mut mutant = image.to_vec();
    for _ in 0..=dice.below(4) {
        let (begin, end) = places[dice.below(places.len())];
        let at = begin + dice.below(end - begin);
        match dice.below(6) {
            0 => mutant[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][dice.below(6)],
            1 => mutant[at] ^= 1 << dice.below(8),
            2 => mutant[at] = dice.next() as u8,
            3 => {
                let value = [0, 1, u64::MAX, 1 << 31, 1 << 62, 0xffff_fff0, image.len() as u64];
                let value = value[dice.below(value.len())].to_le_bytes();
                let size = [2, 4, 8][dice.below(3)].min(mutant.len() - at);
                mutant[at..at + size].copy_from_slice(&value[..size]);
            }
            4 => {
                let size = dice.below(64).min(end - at);
                let from = begin + dice.below(end - begin - size + 1);
                mutant.copy_within(from..from + size, at);
            }
            _ => {
                let size = dice.below(32).min(end - at);
                mutant[at..at + size].fill(0xff);
            }
        }
    }
    if dice.below(16) == 0 {
        mutant.truncate(dice.below(mutant.len()));
    }
    mutant
}
