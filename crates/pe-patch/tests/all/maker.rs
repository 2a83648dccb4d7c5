/// An image that is written as it is described, with no check of whether it makes sense.
#[derive(Clone)]
pub struct Maker {
    pub wide: bool,
    pub machine: u16,
    pub lfanew: u32,
    pub section_alignment: u32,
    pub file_alignment: u32,
    pub size_of_image: u32,
    pub size_of_headers: u32,
    pub dll_characteristics: u16,
    pub symbols: (u32, u32),
    pub directory_count: u32,
    pub directories: [(u32, u32); 16],
    pub optional_size: Option<u16>,
    pub sections: Vec<Part>,
    pub section_count: Option<u16>,
    pub overlay: Vec<u8>,
    pub with_checksum: bool,
    pub length: Option<usize>,
}

/// A section, and what is written at its offset.
#[derive(Clone)]
pub struct Part {
    pub name: [u8; 8],
    pub address: u32,
    pub virtual_size: u32,
    pub offset: u32,
    pub file_size: u32,
    pub flags: u32,
    pub bytes: Vec<u8>,
}

pub const TEXT: u32 = 0x6000_0020;
pub const READ: u32 = 0x4000_0040;
pub const WRITE: u32 = 0xc000_0040;
pub const DISCARDABLE: u32 = 0x4200_0040;

pub const CODEVIEW: u32 = 2;
pub const POGO: u32 = 13;
pub const REPRO: u32 = 16;

pub const DEBUG: usize = 6;
pub const SECURITY: usize = 4;
pub const RELOCATIONS: usize = 5;

/// Where `.rdata` starts, and in it the debug directory, in every image of [`Maker::new`].
pub const RDATA: u32 = 0x2000;
pub const RDATA_OFFSET: u32 = 0x600;

impl Maker {
    /// Headers, `.text`, `.rdata` and `.data`; no debug directory.
    pub fn new(wide: bool) -> Maker {
        Maker {
            wide,
            machine: if wide { 0x8664 } else { 0x14c },
            lfanew: 0x80,
            section_alignment: 0x1000,
            file_alignment: 0x200,
            size_of_image: 0x4000,
            size_of_headers: 0x400,
            dll_characteristics: 0,
            symbols: (0, 0),
            directory_count: 16,
            directories: [(0, 0); 16],
            optional_size: None,
            sections: vec![
                Part::new(".text", 0x1000, 0x400, TEXT, vec![0xc3; 0x40]),
                Part::new(".rdata", RDATA, RDATA_OFFSET, READ, vec![7; 0x20]),
                Part::new(".data", 0x3000, 0x800, WRITE, vec![9; 0x30]),
            ],
            section_count: None,
            overlay: Vec::new(),
            with_checksum: true,
            length: None,
        }
    }

    /// The same with a debug directory at the start of `.rdata`, the records behind it, each
    /// aligned to four bytes.
    pub fn with_records(wide: bool, records: &[(u32, Vec<u8>)]) -> Maker {
        let mut maker = Maker::new(wide);
        maker.put_records(1, records);
        maker
    }

    /// Puts a debug directory and its records in front of a section's bytes.
    pub fn put_records(&mut self, section: usize, records: &[(u32, Vec<u8>)]) {
        let part = &mut self.sections[section];
        let mut directory = Vec::new();
        let mut contents: Vec<u8> = Vec::new();
        let size = records.len() as u32 * 28;
        for (kind, record) in records {
            contents.resize(contents.len().next_multiple_of(4), 0);
            let inside = size + contents.len() as u32;
            for field in [0, 0x1234_5678, 0, *kind, record.len() as u32] {
                directory.extend(u32::to_le_bytes(field));
            }
            let known = !record.is_empty();
            for start in [part.address, part.offset] {
                let place = if known { start + inside } else { 0 };
                directory.extend(u32::to_le_bytes(place));
            }
            contents.extend(record);
        }
        self.directories[DEBUG] = (part.address, size);
        directory.extend(contents);
        directory.resize(directory.len().next_multiple_of(4), 0);
        // Something that is nobody's known structure, and must stay.
        directory.extend([0xaa; 12]);
        part.virtual_size = directory.len() as u32;
        part.file_size = (directory.len() as u32).next_multiple_of(self.file_alignment);
        part.bytes = directory;
        // What comes behind in the file makes room.
        let more = part.file_size.saturating_sub(0x200);
        for later in &mut self.sections[section + 1..] {
            later.offset += more;
        }
    }

    pub fn optional_offset(&self) -> usize {
        self.lfanew as usize + 24
    }

    pub fn checksum_offset(&self) -> usize {
        self.optional_offset() + 64
    }

    pub fn fixed_size(&self) -> usize {
        if self.wide { 112 } else { 96 }
    }

    pub fn directory_offset(&self, index: usize) -> usize {
        self.optional_offset() + self.fixed_size() + 8 * index
    }

    pub fn section_table(&self) -> usize {
        let whole = self.fixed_size() + 8 * self.directory_count.min(16) as usize;
        self.optional_offset() + self.optional_size.map_or(whole, usize::from)
    }

    pub fn end_of_sections(&self) -> usize {
        let ends = self.sections.iter().filter(|it| it.offset != 0);
        ends.map(|it| it.offset as usize + it.file_size as usize).max().unwrap_or(0)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut image = Writer(Vec::new());
        image.put(0, b"MZ");
        image.put(0x3c, &self.lfanew.to_le_bytes());
        let nt = self.lfanew as usize;
        image.put(nt, b"PE\0\0");
        image.u16(nt + 4, self.machine);
        image.u16(nt + 6, self.section_count.unwrap_or(self.sections.len() as u16));
        image.u32(nt + 8, 0x5555_5555);
        image.u32(nt + 12, self.symbols.0);
        image.u32(nt + 16, self.symbols.1);
        let optional = self.optional_offset();
        let optional_size = (self.section_table() - optional) as u16;
        image.u16(nt + 20, optional_size);
        image.u16(nt + 22, 0x2022);
        image.u16(optional, if self.wide { 0x20b } else { 0x10b });
        image.u32(optional + 16, 0x1000);
        if self.wide {
            image.put(optional + 24, &0x1_8000_0000_u64.to_le_bytes());
        } else {
            image.u32(optional + 28, 0x1000_0000);
        }
        image.u32(optional + 32, self.section_alignment);
        image.u32(optional + 36, self.file_alignment);
        image.u16(optional + 48, 6);
        image.u32(optional + 56, self.size_of_image);
        image.u32(optional + 60, self.size_of_headers);
        image.u16(optional + 68, 3);
        image.u16(optional + 70, self.dll_characteristics);
        image.u32(optional + self.fixed_size() - 4, self.directory_count);
        for index in 0..self.directory_count.min(16) as usize {
            let (address, size) = self.directories[index];
            image.u32(self.directory_offset(index), address);
            image.u32(self.directory_offset(index) + 4, size);
        }
        for (index, part) in self.sections.iter().enumerate() {
            let at = self.section_table() + 40 * index;
            image.put(at, &part.name);
            image.u32(at + 8, part.virtual_size);
            image.u32(at + 12, part.address);
            image.u32(at + 16, part.file_size);
            image.u32(at + 20, part.offset);
            image.put(at + 24, &[0; 12]);
            image.u32(at + 36, part.flags);
        }
        for part in self.sections.iter().filter(|part| part.offset != 0) {
            image.put(part.offset as usize, &part.bytes);
            let end = part.offset as usize + part.file_size.min(1 << 20) as usize;
            image.put(end, &[]);
        }
        image.put(image.0.len(), &self.overlay);
        let mut bytes = image.0;
        if let Some(length) = self.length {
            bytes.resize(length, 0);
        }
        if self.with_checksum {
            let at = self.checksum_offset();
            let sum = naive_checksum(&bytes, at);
            bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        }
        bytes
    }
}

impl Part {
    pub fn new(name: &str, address: u32, offset: u32, flags: u32, bytes: Vec<u8>) -> Part {
        let mut padded = [0; 8];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let (virtual_size, file_size) =
            (bytes.len() as u32, (bytes.len() as u32).next_multiple_of(0x200));
        Part { name: padded, address, virtual_size, offset, file_size, flags, bytes }
    }
}

/// Bytes that grow as they are written to.
struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[at..end].copy_from_slice(bytes);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
}

pub const GUID: [u8; 16] = *b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10";
pub const AGE: u32 = 3;

/// An `RSDS` record.
pub fn rsds(path: &str) -> Vec<u8> {
    [b"RSDS", &GUID[..], &AGE.to_le_bytes(), path.as_bytes(), b"\0"].concat()
}

/// An `RSDS` record with room behind its path, as `/minpdbpathlen` leaves it.
pub fn roomy_rsds(path: &str, room: usize) -> Vec<u8> {
    let mut record = rsds(path);
    record.resize(record.len() + room, 0);
    record
}

/// An `NB10` record.
pub fn nb10(path: &str) -> Vec<u8> {
    let stamp = 0x4000_0001_u32.to_le_bytes();
    [b"NB10", &[0; 4][..], &stamp, &AGE.to_le_bytes(), path.as_bytes(), b"\0"].concat()
}

/// A REPRO record with a hash.
pub fn repro() -> Vec<u8> {
    [&32_u32.to_le_bytes()[..], &[0x5a; 32]].concat()
}

/// Relocations of one page, each a type and a place in it.
pub fn relocations(page: u32, entries: &[(u16, u16)]) -> Vec<u8> {
    let mut entries: Vec<u16> = entries.iter().map(|(kind, place)| kind << 12 | place).collect();
    if entries.len() % 2 == 1 {
        entries.push(0);
    }
    let size = 8 + 2 * entries.len() as u32;
    let mut block = [page.to_le_bytes(), size.to_le_bytes()].concat();
    block.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
    block
}

/// The checksum, word by word.
pub fn naive_checksum(bytes: &[u8], field: usize) -> u32 {
    let byte = |at: usize| {
        let is_field = (field..field + 4).contains(&at);
        if is_field { 0 } else { u32::from(*bytes.get(at).unwrap_or(&0)) }
    };
    let mut sum = 0;
    for at in (0..bytes.len()).step_by(2) {
        sum += byte(at) | byte(at + 1) << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + bytes.len() as u32
}

/// Small images of many shapes, each with a name.
pub fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    let path = "C:\\build\\game.pdb";
    let one = |wide| Maker::with_records(wide, &[(CODEVIEW, rsds(path))]);
    let mut fixtures = vec![
        ("pe32", one(false).bytes()),
        ("pe32-plus", one(true).bytes()),
        ("nb10", Maker::with_records(false, &[(CODEVIEW, nb10(path))]).bytes()),
        ("no-debug-directory", Maker::new(true).bytes()),
        ("roomy", Maker::with_records(true, &[(CODEVIEW, roomy_rsds(path, 40))]).bytes()),
    ];
    let many = [
        (CODEVIEW, rsds(path)),
        (POGO, b"GCTL\0\0\0\0".to_vec()),
        (CODEVIEW, nb10("b.pdb")),
        (REPRO, repro()),
        (17, b"MPDB\x10\0\0\0xyz".to_vec()),
        (14, Vec::new()),
        (CODEVIEW, b"NB09\x08\0\0\0".to_vec()),
    ];
    fixtures.push(("many-entries", Maker::with_records(true, &many).bytes()));

    let mut no_checksum = one(true);
    no_checksum.with_checksum = false;
    fixtures.push(("no-checksum", no_checksum.bytes()));

    let mut overlay = one(true);
    overlay.overlay = b"an installer's payload".to_vec();
    fixtures.push(("overlay", overlay.bytes()));

    fixtures.push(("signed", signed(one(true), &[]).bytes()));
    fixtures.push(("signed-in-between", signed(one(true), b"behind").bytes()));
    let reproducible = [(CODEVIEW, rsds(path)), (REPRO, repro())];
    let reproducible = signed(Maker::with_records(true, &reproducible), b"behind");
    fixtures.push(("reproducible-signed-in-between", reproducible.bytes()));
    fixtures.push(("dot-net", dot_net().bytes()));
    fixtures.push(("merged-into-code", merged().bytes()));
    fixtures.push(("low-alignment", low_alignment().bytes()));
    fixtures.push(("relocated", relocated(0x20).bytes()));
    fixtures.push(("arm64x", arm64x(0x100).bytes()));
    fixtures.push(("mingw", mingw().bytes()));
    fixtures
}

/// The image with a certificate table, and maybe something behind that.
pub fn signed(mut maker: Maker, behind: &[u8]) -> Maker {
    let start = maker.end_of_sections() as u32;
    let mut table = 0x28_u32.to_le_bytes().to_vec();
    table.extend([0, 2, 2, 0]);
    table.extend([0xce; 0x20]);
    maker.directories[SECURITY] = (start, table.len() as u32);
    table.extend(behind);
    maker.overlay = table;
    maker
}

/// Like what the C# compiler makes: 16 bytes of room in the headers, the records in `.text`, and
/// `.reloc` last.
pub fn dot_net() -> Maker {
    let mut maker = Maker::new(false);
    maker.size_of_headers = 0x200;
    maker.sections = vec![
        Part::new(".text", 0x2000, 0x200, TEXT, vec![0x2a; 0x40]),
        Part::new(".rsrc", 0x4000, 0x400, READ, vec![5; 0x1f8]),
        Part::new(".reloc", 0x6000, 0x600, DISCARDABLE, relocations(0x2000, &[(3, 0x180)])),
    ];
    maker.section_alignment = 0x2000;
    maker.size_of_image = 0x8000;
    maker.directories[RELOCATIONS] = (0x6000, 12);
    maker.put_records(0, &[(CODEVIEW, rsds("Library.pdb")), (REPRO, Vec::new())]);
    // The section ends where its bytes do, so that there is no tail.
    let part = &mut maker.sections[0];
    part.bytes.resize(0x200, 0x2a);
    part.virtual_size = 0x200;
    part.file_size = 0x200;
    maker.sections[1].bytes.resize(0x200, 5);
    maker.sections[1].virtual_size = 0x200;
    maker.sections[2].bytes.resize(0x200, 0);
    maker.sections[2].virtual_size = 0x200;
    // 40 bytes behind the last section's header are 16 of zeros and then something else.
    maker.lfanew = 0x200 - 16 - 3 * 40 - 24 - 96 - 16 * 8;
    maker
}

/// `/merge:.rdata=.text`: the records lie in code, whose tail is filled with breakpoints.
pub fn merged() -> Maker {
    let mut maker = Maker::new(true);
    maker.sections.remove(1);
    maker.sections[0].offset = 0x400;
    maker.put_records(0, &[(CODEVIEW, rsds("m.pdb"))]);
    maker.sections[0].bytes.resize(0x200, 0xcc);
    maker.sections[1].address = 0x2000;
    maker.sections[1].offset = 0x600;
    maker.size_of_image = 0x3000;
    maker
}

/// A driver: sections aligned to 16 bytes, offsets that are addresses.
pub fn low_alignment() -> Maker {
    let mut maker = Maker::new(true);
    maker.section_alignment = 16;
    maker.file_alignment = 16;
    maker.size_of_headers = 0x240;
    let (text, data) = (0x240, 0x400);
    maker.sections = vec![
        Part::new(".text", text, text, TEXT, vec![0xc3; 0x10]),
        Part::new(".data", data, data, WRITE, vec![1; 0x20]),
    ];
    for part in &mut maker.sections {
        part.file_size = part.virtual_size;
    }
    maker.put_records(0, &[(CODEVIEW, rsds("driver.pdb"))]);
    maker.sections[0].file_size = 0x1c0;
    maker.size_of_image = data + 0x20;
    maker
}

/// With a relocation of one place in `.rdata`.
pub fn relocated(place: u16) -> Maker {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\r.pdb"))]);
    let table = relocations(RDATA, &[(10, place)]);
    maker.directories[RELOCATIONS] = (0x4000, table.len() as u32);
    maker.sections.push(Part::new(".reloc", 0x4000, 0xa00, DISCARDABLE, table));
    maker.size_of_image = 0x5000;
    maker
}

/// An ARM64X image whose other face has other bytes at one place in `.rdata`.
pub fn arm64x(place: u16) -> Maker {
    // Four new bytes, for which the block has a 16-bit entry in front.
    let entry = (place | 1 << 12 | 2 << 14).to_le_bytes();
    let block = block(RDATA, &[&entry[..], &[1, 2, 3, 4, 0, 0]].concat());
    dynamically_relocated(0xaa64, 6, &block)
}

/// A block of relocations with these bytes for entries.
pub fn block(page: u32, entries: &[u8]) -> Vec<u8> {
    let size = 8 + entries.len() as u32;
    [&page.to_le_bytes()[..], &size.to_le_bytes(), entries].concat()
}

/// With one group of dynamic relocations.
pub fn dynamically_relocated(machine: u16, symbol: u64, fixups: &[u8]) -> Maker {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\x.pdb"))]);
    maker.machine = machine;
    let mut config = vec![0; 0x110];
    config[..4].copy_from_slice(&0x110_u32.to_le_bytes());
    // The metadata's address, and where the table is: section 4, right behind the configuration.
    config[200..208].copy_from_slice(&0x1_8000_1000_u64.to_le_bytes());
    config[224..228].copy_from_slice(&0x110_u32.to_le_bytes());
    config[228..230].copy_from_slice(&4_u16.to_le_bytes());
    let mut table = 1_u32.to_le_bytes().to_vec();
    table.extend((12 + fixups.len() as u32).to_le_bytes());
    table.extend(symbol.to_le_bytes());
    table.extend((fixups.len() as u32).to_le_bytes());
    table.extend(fixups);
    config.extend(table);
    maker.directories[10] = (0x4000, 0x110);
    maker.sections.push(Part::new(".lcfg", 0x4000, 0xa00, READ, config));
    maker.size_of_image = 0x5000;
    maker
}

/// With a CLR header in `.data`, which has `value` at an offset.
pub fn with_clr_header(mut maker: Maker, offset: usize, value: (u32, u32)) -> Maker {
    let mut header = vec![0; 72];
    header[0] = 72;
    header[offset..offset + 4].copy_from_slice(&value.0.to_le_bytes());
    header[offset + 4..offset + 8].copy_from_slice(&value.1.to_le_bytes());
    maker.sections[2] = Part::new(".data", 0x3000, maker.sections[2].offset, WRITE, header);
    maker.directories[14] = (0x3000, 72);
    maker
}

/// COFF symbols behind the sections, and a section whose name is in their strings.
pub fn mingw() -> Maker {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("mingw.pdb"))]);
    maker.sections[2].name = *b"/4\0\0\0\0\0\0";
    let start = maker.end_of_sections() as u32;
    maker.symbols = (start, 1);
    let mut symbols = vec![0x11; 18];
    let strings = b".data.long.name\0";
    symbols.extend((4 + strings.len() as u32).to_le_bytes());
    symbols.extend(strings);
    maker.overlay = symbols;
    maker
}
