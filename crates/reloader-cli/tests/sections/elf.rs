//! The image is a library as linkers lay it out, in 64 bits and little-endian: its segments, its
//! sections with their names, and a few symbols.

/// The image.
pub fn image() -> Vec<u8> {
    named(SECTIONS)
}

/// The same with other sections.
pub fn named(sections: &[Section]) -> Vec<u8> {
    let mut bytes = vec![0; 0x2040];
    let strings = bytes.len() as u64;
    let mut put_string = |text: &str| {
        let offset = bytes.len() as u64 - strings;
        bytes.extend(text.bytes().chain([0]));
        offset as u32
    };
    put_string("");
    let symbols: Vec<u8> = [("", 0, 0, 0, 0)]
        .iter()
        .chain(SYMBOLS)
        .flat_map(|&(name, info, section, address, size)| {
            let name = if name.is_empty() { 0 } else { put_string(name) };
            let mut entry = name.to_le_bytes().to_vec();
            entry.extend([info, 0]);
            entry.extend(u16::to_le_bytes(section));
            entry.extend([u64::to_le_bytes(address), u64::to_le_bytes(size)].concat());
            entry
        })
        .collect();
    let names: Vec<u32> = sections.iter().map(|it| put_string(it.0)).collect();
    let strings_size = bytes.len() as u64 - strings;
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let symbols_at = bytes.len() as u64;
    bytes.extend(&symbols);

    let headers = bytes.len() as u64;
    for (&(_, kind, flags, address, offset, size, link, info), name) in sections.iter().zip(names) {
        let (offset, size) = match kind {
            SYMTAB => (symbols_at, symbols.len() as u64),
            STRTAB => (strings, strings_size),
            _ => (offset, size),
        };
        let entry_size = if kind == SYMTAB { 24 } else { 0 };
        bytes.extend([name.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([flags, address, offset, size].map(u64::to_le_bytes).concat());
        bytes.extend([u32::to_le_bytes(link), u32::to_le_bytes(info)].concat());
        bytes.extend([8_u64, entry_size].map(u64::to_le_bytes).concat());
    }

    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend([3_u16, 62].map(u16::to_le_bytes).concat());
    header.extend(1_u32.to_le_bytes());
    header.extend([0, 64, headers].map(u64::to_le_bytes).concat());
    header.extend(0_u32.to_le_bytes());
    let counts = [64, 56, SEGMENTS.len() as u16, 64, sections.len() as u16];
    header.extend(counts.map(u16::to_le_bytes).concat());
    header.extend((sections.len() as u16 - 1).to_le_bytes());
    for &(kind, flags, offset, address, file_size, memory_size) in SEGMENTS {
        header.extend([u32::to_le_bytes(kind), u32::to_le_bytes(flags)].concat());
        let words = [offset, address, address, file_size, memory_size, 0x1000];
        header.extend(words.map(u64::to_le_bytes).concat());
    }
    bytes[..header.len()].copy_from_slice(&header);
    bytes
}

/// Name, type, flags, address, offset, size, link, info.
pub type Section = (&'static str, u32, u64, u64, u64, u64, u32, u32);

/// The last one has the names.
pub const SECTIONS: &[Section] = &[
    ("", 0, 0, 0, 0, 0, 0, 0),
    (".rodata", PROGBITS, 0x2, 0x240, 0x240, 0x1c0, 0, 0),
    (".text", PROGBITS, 0x6, 0x1000, 0x1000, 0x180, 0, 0),
    (".tdata", PROGBITS, 0x403, 0x2e00, 0x1e00, 0x8, 0, 0),
    (".tbss", NOBITS, 0x403, 0x2e08, 0x1e08, 0x8, 0, 0),
    (".init_array", 14, 0x3, 0x2e10, 0x1e10, 0x10, 0, 0),
    (".data.rel.ro", PROGBITS, 0x3, 0x2e20, 0x1e20, 0x60, 0, 0),
    (".got", PROGBITS, 0x3, 0x2e80, 0x1e80, 0x198, 0, 0),
    (".data", PROGBITS, 0x3, 0x3020, 0x2020, 0x10, 0, 0),
    (".state", PROGBITS, 0x3, 0x3030, 0x2030, 0x10, 0, 0),
    (".bss", NOBITS, 0x3, 0x3040, 0x2040, 0x1c0, 0, 0),
    (".comment", PROGBITS, 0, 0, 0x200, 0x20, 0, 0),
    (".symtab", SYMTAB, 0, 0, 0, 0, 13, 3),
    (".strtab", STRTAB, 0, 0, 0, 0, 0, 0),
];

/// Type, flags, offset, address, size in the file, size in memory.
const SEGMENTS: &[(u32, u32, u64, u64, u64, u64)] = &[
    (1, 4, 0, 0, 0x400, 0x400),
    (1, 5, 0x1000, 0x1000, 0x180, 0x180),
    (1, 6, 0x1e00, 0x2e00, 0x240, 0x400),
    (7, 4, 0x1e00, 0x2e00, 0x8, 0x10),
    (0x6474_e552, 4, 0x1e00, 0x2e00, 0x200, 0x200),
];

/// Name, binding and type, section, address, size.
const SYMBOLS: &[(&str, u8, u16, u64, u64)] = &[
    ("guest.c", 0x04, 0xfff1, 0, 0),
    ("cache", 0x01, 10, 0x3080, 0x100),
    ("step", 0x12, 2, 0x1010, 0x40),
    ("counter", 0x11, 9, 0x3030, 0x4),
    ("names", 0x11, 6, 0x2e20, 0x60),
    ("each", 0x16, 3, 0, 0x4),
    ("only", 0xa1, 8, 0x3020, 0x8),
];

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const NOBITS: u32 = 8;
