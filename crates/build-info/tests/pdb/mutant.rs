//! PDBs that are damaged where it hurts.

use crate::dice::Dice;
use crate::msf::{self, Layout};

/// A PDB with something wrong that is aimed at: in a stream, in the directory, in the header, or in
/// its length.
pub fn mutant(seed: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut streams = seed.to_vec();
    let layout = Layout { page_size: [512, 1024, 4096][dice.below(3)], ..msf::PLAIN };
    for _ in 0..dice.below(4) {
        let which = [1, 3, 3, 4, 5, dice.below(streams.len())][dice.below(6)];
        let stream = &mut streams[which];
        if stream.is_empty() {
            continue;
        }
        // Sizes and counts are near the start of a stream.
        let at = if dice.below(2) == 0 {
            dice.below(stream.len().min(128))
        } else {
            dice.below(stream.len())
        };
        damage(stream, at, dice);
    }
    let mut file = msf::write(&streams, &layout);
    match dice.below(8) {
        0 => damage(&mut file, 32 + dice.below(24), &mut *dice),
        1 => {
            let end = file.len();
            damage(&mut file, end - 1 - dice.below(end.min(2048)), &mut *dice);
        }
        2 => file.truncate(dice.below(file.len())),
        3 => {
            let end = file.len();
            damage(&mut file, dice.below(end), &mut *dice);
        }
        _ => {}
    }
    file
}

fn damage(bytes: &mut [u8], at: usize, dice: &mut Dice) {
    let value: u32 = match dice.below(7) {
        0 => 0,
        1 => u32::MAX,
        2 => 0x7fff_ffff,
        3 => bytes.len() as u32,
        4 => 1 << dice.below(32),
        _ => dice.next() as u32,
    };
    let width = [1, 2, 4][dice.below(3)];
    for (byte, value) in bytes[at..].iter_mut().zip(value.to_le_bytes()).take(width) {
        *byte = value;
    }
}
