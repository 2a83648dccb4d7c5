use std::cell::Cell;
use std::io;

use build_info::{ReadAt, pdb};

use crate::maker::{Module, Pdb};
use crate::msf::{self, PLAIN};

/// Bytes that are not in memory, and how many of them were read.
struct Counted<'a>(&'a [u8], Cell<usize>);

impl ReadAt for Counted<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        self.1.set(self.1.get() + count);
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

#[test]
fn a_procedure_that_is_referred_to_often_is_looked_up_in_one_list_of_modules() {
    const SYMBOLS: u16 = 20_001;
    let reference = |offset: u32| {
        let fields = [0, 0, 0, 0, 0, 0];
        let name = b"proc\0\0\0\0";
        let mut record =
            [&20_u16.to_le_bytes()[..], &0x1125_u16.to_le_bytes(), &fields[..4]].concat();
        record.extend(offset.to_le_bytes());
        record.extend(1_u16.to_le_bytes());
        record.extend(name);
        record
    };
    // A reference of its own for each record, and one that many records lead to.
    for (count, own) in [(1_000, true), (100_000, false)] {
        let mut pdb = Pdb::new();
        pdb.modules.resize(20_000 - 7, Module::default());
        let mut streams = pdb.streams();
        // Behind the module's mark and three symbols is its procedure.
        let before: usize = pdb.modules[0].symbols[..3]
            .iter()
            .map(|(_, body)| (4 + body.len()).next_multiple_of(4))
            .sum();
        let symbol = reference(4 + before as u32);
        let each = symbol.len();
        let hash = u32::from_le_bytes(*b"proc") | 0x2020_2020;
        let hash = hash ^ hash >> 11;
        let bucket = ((hash ^ hash >> 16) % 4096) as usize;
        let mut bits = [0; 516];
        bits[bucket / 8] |= 1 << (bucket % 8);
        let mut table = Vec::new();
        for word in [u32::MAX, 0xeffe_0000 + 19_990_810, 8 * count as u32, 520] {
            table.extend(word.to_le_bytes());
        }
        for number in 0..count {
            let at = if own { number * each } else { 0 };
            table.extend([(at as u32 + 1).to_le_bytes(), 1_u32.to_le_bytes()].concat());
        }
        table.extend(bits);
        table.extend([0; 4]);
        assert_eq!(streams.len(), 20_000);
        streams.extend([table, symbol.repeat(if own { count } else { 1 })]);
        streams[3][12..14].copy_from_slice(&(SYMBOLS - 1).to_le_bytes());
        streams[3][20..22].copy_from_slice(&SYMBOLS.to_le_bytes());
        let bytes = msf::write(&streams, &PLAIN);
        let counted = Counted(&bytes, Cell::new(0));
        assert_eq!(pdb::symbol(&counted, "proc").unwrap(), [0x1000]);
        let read = counted.1.get();
        assert!(read < 6 * bytes.len(), "{read} bytes of {}", bytes.len());
    }
}
