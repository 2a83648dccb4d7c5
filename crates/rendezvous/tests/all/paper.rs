use rendezvous::oracle::START;
use rendezvous::{Auxv, Bytes, Class, Endian, Layout, Location, Rendezvous, Startup, System};

/// A target's memory, written byte by byte from [`START`] on.
#[derive(Clone)]
pub struct Paper {
    pub startup: Startup,
    pub bytes: Vec<u8>,
}

/// What a node of a list begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    SystemV,
    OldMips,
    FreeBsd13,
    FreeBsd13Mips,
}

pub const LAYOUTS: [Layout; 4] = [
    Layout { class: Class::Elf32, endian: Endian::Little },
    Layout { class: Class::Elf32, endian: Endian::Big },
    Layout { class: Class::Elf64, endian: Endian::Little },
    Layout { class: Class::Elf64, endian: Endian::Big },
];

impl Paper {
    pub fn new(layout: Layout) -> Paper {
        let auxv = Auxv::parse(&[], layout, System::Linux);
        // So that no structure is at the address that says that there is none.
        let bytes = vec![0; 16];
        Paper { startup: Startup { layout, system: System::Linux, auxv }, bytes }
    }

    pub fn layout(&self) -> Layout {
        self.startup.layout
    }

    /// Where the next thing goes.
    pub fn here(&self) -> u64 {
        START + self.bytes.len() as u64
    }

    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let here = self.here();
        self.bytes.extend_from_slice(bytes);
        here
    }

    pub fn put_words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|&word| self.word(word)).collect();
        self.put(&bytes)
    }

    pub fn set(&mut self, address: u64, bytes: &[u8]) {
        let start = (address - START) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub fn set_word(&mut self, address: u64, word: u64) {
        let bytes = self.word(word);
        self.set(address, &bytes);
    }

    /// Sets the `index`th word of a structure.
    pub fn set_nth(&mut self, address: u64, index: usize, word: u64) {
        self.set_word(address + (index * self.layout().word_size()) as u64, word);
    }

    pub fn word(&self, word: u64) -> Vec<u8> {
        match self.layout().class {
            Class::Elf32 => self.half(word as u32).to_vec(),
            Class::Elf64 => match self.layout().endian {
                Endian::Little => word.to_le_bytes().to_vec(),
                Endian::Big => word.to_be_bytes().to_vec(),
            },
        }
    }

    pub fn half(&self, half: u32) -> [u8; 4] {
        match self.layout().endian {
            Endian::Little => half.to_le_bytes(),
            Endian::Big => half.to_be_bytes(),
        }
    }

    pub fn quarter(&self, quarter: u16) -> [u8; 2] {
        match self.layout().endian {
            Endian::Little => quarter.to_le_bytes(),
            Endian::Big => quarter.to_be_bytes(),
        }
    }

    /// An ELF header with program headers right behind it: kind, address and size of each. The
    /// image's file begins with the header, as does a segment of address 0; its own addresses are
    /// the memory's less the bias.
    pub fn image(&mut self, bias: u64, machine: u16, segments: &[(u32, u64, u64)]) -> u64 {
        let (is_64, is_big) =
            (self.layout().class == Class::Elf64, self.layout().endian == Endian::Big);
        let header_size = if is_64 { 64 } else { 52 };
        let mut header = vec![0; header_size];
        header[..4].copy_from_slice(b"\x7fELF");
        header[4..7].copy_from_slice(&[1 + u8::from(is_64), 1 + u8::from(is_big), 1]);
        header[16..18].copy_from_slice(&self.quarter(3));
        header[18..20].copy_from_slice(&self.quarter(machine));
        let word_size = self.layout().word_size();
        let phoff = if is_64 { 32 } else { 28 };
        let phoff_word = self.word(header_size as u64);
        header[phoff..phoff + word_size].copy_from_slice(&phoff_word);
        let counts = if is_64 { 54 } else { 42 };
        let count = segments.len() as u16;
        header[counts..counts + 2].copy_from_slice(&self.quarter(if is_64 { 56 } else { 32 }));
        header[counts + 2..counts + 4].copy_from_slice(&self.quarter(count));
        let start = self.put(&header);
        for &(kind, address, size) in segments {
            let address = if address == 0 { start } else { address };
            let (offset, address) = (address.wrapping_sub(start), address.wrapping_sub(bias));
            let mut bytes = self.half(kind).to_vec();
            if is_64 {
                bytes.extend(self.half(6));
            }
            for word in [offset, address, address, size, size] {
                bytes.extend(self.word(word));
            }
            if !is_64 {
                bytes.extend(self.half(6));
            }
            bytes.extend(self.word(8));
            self.bytes.extend(bytes);
        }
        start
    }

    /// The address of an image's program headers.
    pub fn program_headers(&self, image: u64) -> u64 {
        image + if self.layout().class == Class::Elf64 { 64 } else { 52 }
    }

    /// A list of modules of these names, `[bias, name, dynamic]` of each being made up; gives the
    /// addresses of its nodes.
    pub fn list(&mut self, nodes: Nodes, names: &[&str]) -> Vec<u64> {
        let places: Vec<(u64, u64)> = names
            .iter()
            .map(|name| {
                let name = self.put(&[name.as_bytes(), b"\0"].concat());
                (self.put_words(&[0; 7]), name)
            })
            .collect();
        for (index, &(node, name)) in places.iter().enumerate() {
            let next = places.get(index + 1).map_or(0, |next| next.0);
            let previous = index.checked_sub(1).map_or(0, |index| places[index].0);
            let bias = 0x100_0000 * (index as u64 + 1);
            let dynamic = bias + 0x2000;
            let words = match nodes {
                Nodes::SystemV => vec![bias, name, dynamic, next, previous],
                Nodes::OldMips => vec![bias + 0x1000, bias, name, dynamic, next, previous],
                Nodes::FreeBsd13 => {
                    vec![bias + 0x1000, name, dynamic, next, previous, bias, 0xdead]
                }
                Nodes::FreeBsd13Mips => {
                    vec![bias + 0x1000, 0xdead, name, dynamic, next, previous, bias]
                }
            };
            for (index, word) in words.into_iter().enumerate() {
                self.set_nth(node, index, word);
            }
        }
        places.into_iter().map(|(node, _)| node).collect()
    }

    /// An `r_debug`.
    pub fn head(&mut self, version: u32, first: u64, state: u32, next: u64) -> u64 {
        let head = self.put_words(&[0, first, 0xb4c, 0, 0x7000_0000, next]);
        let (version, state) = (self.half(version), self.half(state));
        self.set(head, &version);
        self.set(head + 3 * self.layout().word_size() as u64, &state);
        head
    }

    /// A program whose dynamic table has these entries.
    pub fn program(&mut self, machine: u16, entries: &[(u64, u64)]) -> u64 {
        let words: Vec<u64> =
            entries.iter().chain(&[(0, 0)]).flat_map(|&(tag, value)| [tag, value]).collect();
        let dynamic = self.put_words(&words);
        let size = (words.len() * self.layout().word_size()) as u64;
        let program = self.image(0, machine, &[(1, 0, 0x8000), (2, dynamic, size)]);
        self.startup.auxv.phdr = Some(self.program_headers(program));
        self.startup.auxv.phnum = Some(2);
        self.startup.auxv.entry = Some(0xe47);
        dynamic
    }

    /// A target of one list, found by `DT_DEBUG`.
    pub fn simple(layout: Layout, names: &[&str]) -> (Paper, Vec<u64>) {
        let mut paper = Paper::new(layout);
        let nodes = paper.list(Nodes::SystemV, names);
        let head = paper.head(1, nodes[0], 0, 0);
        paper.program(62, &[(DT_DEBUG, head)]);
        (paper, nodes)
    }

    pub fn memory(&self) -> Bytes<'_> {
        [(START, &self.bytes[..])].into_iter().collect()
    }

    pub fn locate(&self) -> Location {
        Rendezvous::locate(&self.memory(), &self.startup, None).unwrap()
    }

    pub fn found(&self) -> Rendezvous {
        self.locate().found().expect("the lists are there")
    }

    /// As a core file, whose memory is at [`START`], with a file mapped over the first page.
    pub fn to_core(&self) -> Vec<u8> {
        self.to_core_with("/lib/paper.so (deleted)")
    }

    /// As a core file, with a file of this path.
    pub fn to_core_with(&self, path: &str) -> Vec<u8> {
        let layout = self.layout();
        let is_freebsd = self.startup.system == System::FreeBsd;
        let auxv = &self.startup.auxv;
        let kernel = if is_freebsd { 34 } else { 33 };
        let entries = [
            (3, auxv.phdr),
            (5, auxv.phnum),
            (7, auxv.base),
            (9, auxv.entry),
            (kernel, auxv.sysinfo_ehdr),
        ];
        let mut vector = Vec::new();
        for (kind, value) in entries {
            if let Some(value) = value {
                vector.extend([self.word(kind), self.word(value)].concat());
            }
        }
        vector.extend([self.word(0), self.word(0)].concat());
        let mut files: Vec<u8> = Vec::new();
        for word in [1, 0x1000, START, START + 0x1000, 0] {
            files.extend(self.word(word));
        }
        files.extend([path.as_bytes(), b"\0"].concat());

        let mut notes = Vec::new();
        let mut note = |name: &[u8], kind: u32, descriptor: &[u8]| {
            notes.extend(self.half(name.len() as u32));
            notes.extend(self.half(descriptor.len() as u32));
            notes.extend(self.half(kind));
            for bytes in [name, descriptor] {
                notes.extend(bytes);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        };
        if is_freebsd {
            note(b"FreeBSD\0", 16, &[&self.half(16)[..], &vector].concat());
            if let Some(release) = auxv.freebsd_release {
                note(b"FreeBSD\0", 14, &[self.half(4), self.half(release as u32)].concat());
            }
        } else {
            note(b"CORE\0", 6, &vector);
            note(b"CORE\0", 0x4649_4c45, &files);
        }

        let is_64 = layout.class == Class::Elf64;
        let (header_size, entry_size) = if is_64 { (64, 56) } else { (52, 32) };
        let notes_at = header_size + 2 * entry_size;
        let memory_at = notes_at + notes.len();
        // The header of an image, of another kind and with these two segments.
        let mut paper = Paper { bytes: Vec::new(), ..self.clone() };
        paper.image(0, 62, &[(4, 8, notes.len() as u64), (1, START, self.bytes.len() as u64)]);
        let kind = self.quarter(4);
        paper.bytes[16..18].copy_from_slice(&kind);
        let offset = if is_64 { 8 } else { 4 };
        for (index, at) in [notes_at, memory_at].into_iter().enumerate() {
            let place = header_size + index * entry_size + offset;
            let word = self.word(at as u64);
            paper.bytes[place..place + word.len()].copy_from_slice(&word);
        }
        // The alignment of notes.
        let place = header_size + entry_size - layout.word_size();
        let word = self.word(4);
        paper.bytes[place..place + word.len()].copy_from_slice(&word);
        [paper.bytes, notes, self.bytes.clone()].concat()
    }

    /// As the input of the oracle.
    pub fn to_input(&self) -> Vec<u8> {
        let auxv = &self.startup.auxv;
        let flags = u8::from(self.layout().class == Class::Elf64)
            | u8::from(self.layout().endian == Endian::Big) << 1
            | u8::from(self.startup.system == System::FreeBsd) << 2
            | u8::from(auxv.freebsd_release.is_some()) << 3;
        let mut input = vec![flags, auxv.phnum.unwrap_or_default() as u8];
        for place in [auxv.phdr, auxv.base, auxv.entry, auxv.sysinfo_ehdr] {
            let place = place.map_or(0, |address| address.saturating_sub(START) as u16);
            input.extend(place.to_be_bytes());
        }
        input.extend(&self.bytes);
        input
    }
}

pub const DT_DEBUG: u64 = 21;
pub const DT_MIPS_RLD_MAP: u64 = 0x7000_0016;
pub const DT_MIPS_RLD_MAP_REL: u64 = 0x7000_0035;
pub const EM_MIPS: u16 = 8;
