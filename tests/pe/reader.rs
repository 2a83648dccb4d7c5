//! A reader of PE images that shares nothing with `pe-patch`: no types, no code, no crates.
//!
//! It trusts its input and panics where that is wrong, as a test should.

/// An image's headers and its bytes.
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    /// Of the NT headers.
    pub nt: usize,
    /// Of the optional header.
    pub optional: usize,
    /// Of the data directories.
    pub directories: usize,
    pub section_table: usize,
    pub sections: Vec<Section>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: [u8; 8],
    pub virtual_size: u32,
    pub address: u32,
    pub raw_size: u32,
    pub raw: u32,
    pub characteristics: u32,
}

/// An entry of the debug directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the entry itself is in the file.
    pub at: usize,
    pub stamp: u32,
    pub kind: u32,
    pub size: u32,
    pub address: u32,
    pub offset: u32,
    pub data: Vec<u8>,
}

/// What a CodeView record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeView {
    /// The 16 bytes as they lie in the file.
    pub guid: [u8; 16],
    pub age: u32,
    pub path: Vec<u8>,
}

pub const CODEVIEW: u32 = 2;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        assert_eq!(&bytes[..2], b"MZ");
        let nt = u32_at(bytes, 0x3c) as usize;
        assert_eq!(&bytes[nt..nt + 4], b"PE\0\0");
        let optional = nt + 24;
        let directories = match u16_at(bytes, optional) {
            0x10b => optional + 96,
            0x20b => optional + 112,
            other => panic!("magic {other:#x}"),
        };
        let section_table = optional + usize::from(u16_at(bytes, nt + 20));
        let sections = (0..usize::from(u16_at(bytes, nt + 6)))
            .map(|index| {
                let at = section_table + 40 * index;
                Section {
                    name: bytes[at..at + 8].try_into().unwrap(),
                    virtual_size: u32_at(bytes, at + 8),
                    address: u32_at(bytes, at + 12),
                    raw_size: u32_at(bytes, at + 16),
                    raw: u32_at(bytes, at + 20),
                    characteristics: u32_at(bytes, at + 36),
                }
            })
            .collect();
        Self { bytes, nt, optional, directories, section_table, sections }
    }

    /// Address and size of a data directory.
    pub fn directory(&self, index: usize) -> (u32, u32) {
        if index as u32 >= u32_at(self.bytes, self.directories - 4) {
            return (0, 0);
        }
        let at = self.directories + 8 * index;
        (u32_at(self.bytes, at), u32_at(self.bytes, at + 4))
    }

    pub fn size_of_image(&self) -> u32 {
        u32_at(self.bytes, self.optional + 56)
    }

    pub fn size_of_headers(&self) -> u32 {
        u32_at(self.bytes, self.optional + 60)
    }

    pub fn section_alignment(&self) -> u32 {
        u32_at(self.bytes, self.optional + 32)
    }

    pub fn file_alignment(&self) -> u32 {
        u32_at(self.bytes, self.optional + 36)
    }

    pub fn checksum_at(&self) -> usize {
        self.optional + 64
    }

    pub fn stored_checksum(&self) -> u32 {
        u32_at(self.bytes, self.checksum_at())
    }

    /// The certificate table: `None` where the image is not signed.
    pub fn certificates(&self) -> Option<std::ops::Range<usize>> {
        let (offset, size) = self.directory(4);
        (offset != 0).then(|| offset as usize..(offset + size) as usize)
    }

    /// Where an address is in the file.
    pub fn offset(&self, address: u32) -> usize {
        if address < self.size_of_headers() {
            return address as usize;
        }
        let section = self
            .sections
            .iter()
            .find(|it| it.address <= address && address - it.address < it.raw_size)
            .unwrap_or_else(|| panic!("{address:#x} is in no section"));
        (section.raw + (address - section.address)) as usize
    }

    /// The entries of the debug directory.
    pub fn entries(&self) -> Vec<Entry> {
        let (address, size) = self.directory(6);
        if size == 0 {
            return Vec::new();
        }
        let start = self.offset(address);
        (0..size as usize / 28)
            .map(|index| {
                let at = start + 28 * index;
                let size = u32_at(self.bytes, at + 16);
                let offset = u32_at(self.bytes, at + 24);
                Entry {
                    at,
                    stamp: u32_at(self.bytes, at + 4),
                    kind: u32_at(self.bytes, at + 12),
                    size,
                    address: u32_at(self.bytes, at + 20),
                    offset,
                    data: self.bytes[offset as usize..(offset + size) as usize].to_vec(),
                }
            })
            .collect()
    }

    /// The RSDS records, in the order of their entries.
    pub fn codeviews(&self) -> Vec<CodeView> {
        let entries = self.entries();
        entries.iter().filter(|it| it.kind == CODEVIEW).map(Entry::codeview).collect()
    }

    /// Whether the sections are as the loader wants them: in ascending order, none over another,
    /// each inside the file, and the image just as large as they need.
    pub fn is_sound(&self) -> Result<(), String> {
        let alignment = self.section_alignment();
        let table_end = self.section_table + 40 * self.sections.len();
        if table_end as u32 > self.size_of_headers() {
            return Err(format!("the section table ends at {table_end:#x}, behind the headers"));
        }
        let mut next = self.size_of_headers().next_multiple_of(alignment);
        for section in &self.sections {
            let Section { address, virtual_size, raw, raw_size, .. } = *section;
            // An image of low alignment is mapped as a whole, with whatever is between sections.
            let is_in_order = if alignment < 0x1000 { address >= next } else { address == next };
            if !is_in_order {
                return Err(format!("section at {address:#x}, expected at {next:#x}"));
            }
            if (raw + raw_size) as usize > self.bytes.len() {
                return Err(format!("section at {address:#x} ends behind the file"));
            }
            if raw_size > 0 && raw % self.file_alignment() != 0 {
                return Err(format!("section at {address:#x} lies at {raw:#x} in the file"));
            }
            let size = if virtual_size == 0 { raw_size } else { virtual_size };
            next = (address + size).next_multiple_of(alignment);
        }
        if self.size_of_image() != next {
            return Err(format!("SizeOfImage is {:#x}, not {next:#x}", self.size_of_image()));
        }
        Ok(())
    }
}

impl Entry {
    /// The RSDS record that the entry leads to.
    pub fn codeview(&self) -> CodeView {
        let data = &self.data;
        assert_eq!(&data[..4], b"RSDS");
        let path = &data[24..];
        let end = path.iter().position(|&byte| byte == 0).expect("a terminator");
        assert!(path[end..].iter().all(|&byte| byte == 0), "something behind the terminator");
        CodeView {
            guid: data[4..20].try_into().unwrap(),
            age: u32_at(data, 20),
            path: path[..end].to_vec(),
        }
    }
}

/// The checksum by its definition: 16-bit words with the carry added back, the field itself left
/// out, and the length of the file.
pub fn checksum(bytes: &[u8]) -> u32 {
    let field = Reader::new(bytes).checksum_at();
    let mut sum: u32 = 0;
    for (index, word) in bytes.chunks(2).enumerate() {
        if (field..field + 4).contains(&(2 * index)) {
            continue;
        }
        sum += u32::from(word[0]) + 256 * u32::from(word.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum + u32::try_from(bytes.len()).unwrap()
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
