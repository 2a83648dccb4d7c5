//! PDBs written by hand, field by field: what no linker that is at hand makes.

/// What a PDB is made of.
#[derive(Clone, Debug)]
pub struct Pdb {
    pub modules: Vec<Module>,
    /// The records of the stream of identifiers, from 0x1000 on.
    pub ids: Vec<Vec<u8>>,
    /// Feature codes of the information stream.
    pub features: Vec<u32>,
    /// Section, offset, size, module.
    pub contributions: Vec<(u16, u32, u32, u16)>,
    /// Whether the contributions are of the second version.
    pub second_version: bool,
    pub flags: u16,
    /// The names of files, each of which begins where [`Pdb::name`] says.
    pub names: Vec<&'static str>,
    /// Addresses of the sections; without any there is no copy of the section headers.
    pub sections: Vec<u32>,
}

/// A module.
#[derive(Clone, Debug, Default)]
pub struct Module {
    pub name: &'static str,
    pub archive: &'static str,
    /// Kinds and bodies of its symbols.
    pub symbols: Vec<(u16, Vec<u8>)>,
    /// Places of names, kinds of checksums, checksums.
    pub files: Vec<(u32, u8, Vec<u8>)>,
}

pub const VC140: u32 = 20_140_508;

impl Pdb {
    /// A program of two units, one of which has a command, and the linker's module.
    pub fn new() -> Self {
        let names = vec!["", "D:\\game\\src\\main.cpp", "..\\inc\\shared.h", "D:\\game\\crt.c"];
        let mut pdb = Self {
            modules: vec![],
            ids: vec![
                string(0, "D:\\game\\src"),
                string(0, "C:\\VC\\cl.exe"),
                string(0, "main.cpp"),
                string(0, "-c -DA=\"1 2\" "),
                list(&[0x1003, 0x1003]),
                string(0x1004, "-O2"),
                build_info(&[0x1000, 0x1001, 0x1002, 0, 0x1005]),
            ],
            features: vec![VC140],
            contributions: vec![(1, 0, 0x10, 0), (1, 0x10, 0x20, 1), (2, 0, 8, 0)],
            second_version: false,
            flags: 0,
            names,
            sections: vec![0x1000, 0x3000],
        };
        let main = Module {
            name: "D:\\game\\obj\\main.obj",
            archive: "D:\\game\\obj\\main.obj",
            symbols: vec![
                object_name("D:\\game\\obj\\main.obj"),
                compile3(0x01, 0x6000, "Microsoft (R) Optimizing Compiler"),
                (0x114c, 0x1006_u32.to_le_bytes().to_vec()),
                procedure(),
            ],
            files: vec![(pdb.name(1), 3, vec![0x11; 32]), (pdb.name(2), 1, vec![0x22; 16])],
        };
        let runtime = Module {
            name: "d:\\a\\crt.obj",
            archive: "C:\\VC\\lib\\LIBCMT.lib",
            symbols: vec![object_name("d:\\a\\crt.obj"), compile2(0x00, 0, "Older")],
            files: vec![(pdb.name(3), 2, vec![0x33; 20]), (pdb.name(1), 3, vec![0x44; 32])],
        };
        let linker = Module {
            name: "* Linker *",
            archive: "",
            symbols: vec![
                object_name("* Linker *"),
                compile3(0x07, 0, "Microsoft (R) LINK"),
                environment(&[
                    ("cwd", "D:\\game"),
                    ("exe", "C:\\VC\\link.exe"),
                    ("pdb", "D:\\game\\game.pdb"),
                    ("cmd", " /debug"),
                ]),
                coff_group(".text$mn", 1, 0, 0x30),
                section(1, 0x1000, 0x30),
                section(2, 0x3000, 8),
            ],
            files: vec![],
        };
        pdb.modules = vec![main, runtime, linker];
        pdb
    }

    /// Where a name begins among the names.
    pub fn name(&self, index: usize) -> u32 {
        self.names[..index].iter().map(|name| name.len() as u32 + 1).sum()
    }

    /// The streams.
    pub fn streams(&self) -> Vec<Vec<u8>> {
        const NAMES: u16 = 5;
        const SECTIONS: u16 = 6;
        const FIRST_MODULE: usize = 7;
        let mut info = words(&[20_000_404, 0x5eed, 3]);
        info.extend([0xab; 16]);
        info.extend(words(&[7]));
        info.extend(b"/names\0");
        // One entry, room for one; the first is there, none was deleted.
        info.extend(words(&[1, 1, 1, 1, 0, 0, NAMES.into(), 0]));
        info.extend(words(&self.features));

        let mut names = words(&[0xeffe_effe, 1, self.name(self.names.len())]);
        for name in &self.names {
            names.extend(name.as_bytes());
            names.push(0);
        }
        names.extend(words(&[1, 0, self.names.len() as u32]));

        let mut ids = words(&[20_040_203, 56, 0x1000, 0x1000 + self.ids.len() as u32]);
        let records: Vec<u8> = self.ids.concat();
        ids.extend(words(&[records.len() as u32]));
        ids.extend([0xff; 4]);
        ids.resize(56, 0);
        ids.extend(records);

        let mut sections = Vec::new();
        for address in &self.sections {
            let mut header = b".text\0\0\0".to_vec();
            header.extend(words(&[0x1000, *address, 0x1000, 0x400, 0, 0, 0, 0x6000_0020]));
            sections.extend(header);
        }

        let mut streams = vec![vec![], info, vec![0; 56], vec![], ids, names, sections];
        let mut list = Vec::new();
        for (index, module) in self.modules.iter().enumerate() {
            let (symbols, lines) = (module.symbols(), module.lines());
            list.extend([0; 34]);
            let stream = u16::try_from(FIRST_MODULE + index).unwrap_or(u16::MAX);
            list.extend(stream.to_le_bytes());
            list.extend(words(&[symbols.len() as u32, 0, lines.len() as u32, 0, 0, 0, 0]));
            for text in [module.name, module.archive] {
                list.extend(text.as_bytes());
                list.push(0);
            }
            list.resize(list.len().next_multiple_of(4), 0);
            streams.push([symbols, lines].concat());
        }
        let version = if self.second_version { 20_140_516 } else { 19_970_605 };
        let mut contributions = words(&[0xeffe_0000 + version]);
        for &(section, offset, size, module) in &self.contributions {
            contributions.extend(words(&[section.into(), offset, size, 0x6000_0020]));
            contributions.extend(words(&[module.into(), 0, 0]));
            if self.second_version {
                contributions.extend(words(&[1]));
            }
        }
        let mut further = [0xff; 22];
        if !self.sections.is_empty() {
            further[10..12].copy_from_slice(&SECTIONS.to_le_bytes());
        }
        let mut debug = words(&[u32::MAX, 19_990_903, 2]);
        debug.extend([0xff; 12]);
        debug.extend(words(&[list.len() as u32, contributions.len() as u32, 0, 0, 0, 0]));
        debug.extend(words(&[further.len() as u32, 0]));
        debug.extend(self.flags.to_le_bytes());
        debug.extend(0x8664_u16.to_le_bytes());
        debug.extend([0; 4]);
        assert_eq!(debug.len(), 64);
        streams[3] = [debug, list, contributions, further.to_vec()].concat();
        streams
    }
}

impl Module {
    fn symbols(&self) -> Vec<u8> {
        let mut symbols = words(&[4]);
        for (kind, body) in &self.symbols {
            let length = (4 + body.len()).next_multiple_of(4);
            symbols.extend((length as u16 - 2).to_le_bytes());
            symbols.extend(kind.to_le_bytes());
            symbols.extend(body);
            symbols.resize(symbols.len().next_multiple_of(4), 0);
        }
        symbols
    }

    fn lines(&self) -> Vec<u8> {
        if self.files.is_empty() {
            return vec![];
        }
        let mut entries = Vec::new();
        for (name, kind, checksum) in &self.files {
            entries.extend(name.to_le_bytes());
            entries.extend([checksum.len() as u8, *kind]);
            entries.extend(checksum);
            entries.resize(entries.len().next_multiple_of(4), 0);
        }
        // Something else stands before, as it does behind procedures.
        [words(&[0xf1, 4, 0, 0xf4, entries.len() as u32]), entries].concat()
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// `LF_STRING_ID`, behind a list of beginnings or 0.
pub fn string(beginnings: u32, own: &str) -> Vec<u8> {
    record(0x1605, &[words(&[beginnings]), text(own)].concat())
}

/// `LF_SUBSTR_LIST`.
pub fn list(strings: &[u32]) -> Vec<u8> {
    record(0x1604, &[words(&[strings.len() as u32]), words(strings)].concat())
}

/// `LF_BUILDINFO`.
pub fn build_info(strings: &[u32]) -> Vec<u8> {
    record(0x1603, &[(strings.len() as u16).to_le_bytes().to_vec(), words(strings)].concat())
}

fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = (4 + body.len()).next_multiple_of(4);
    let mut record = (length as u16 - 2).to_le_bytes().to_vec();
    record.extend(kind.to_le_bytes());
    record.extend(body);
    record.resize(length, 0xf1);
    record
}

pub fn object_name(name: &str) -> (u16, Vec<u8>) {
    (0x1101, [words(&[0]), text(name)].concat())
}

/// With the bits above the language.
pub fn compile3(language: u8, flags: u32, producer: &str) -> (u16, Vec<u8>) {
    let mut body = words(&[u32::from(language) | flags << 8]);
    for half in [0xd0_u16, 19, 44, 35_222, 1, 19, 44, 35_222, 2] {
        body.extend(half.to_le_bytes());
    }
    (0x113c, [body, text(producer)].concat())
}

pub fn compile2(language: u8, flags: u32, producer: &str) -> (u16, Vec<u8>) {
    let mut body = words(&[u32::from(language) | flags << 8]);
    for half in [0x03_u16, 15, 0, 30_729, 15, 0, 30_730] {
        body.extend(half.to_le_bytes());
    }
    (0x1116, [body, text(producer), vec![0]].concat())
}

/// `S_ENVBLOCK`.
pub fn environment(pairs: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let mut body = vec![0];
    for (name, value) in pairs {
        body.extend([text(name), text(value)].concat());
    }
    body.push(0);
    (0x113d, body)
}

/// `S_GPROC32` of no length, and what ends it, in one.
pub fn procedure() -> (u16, Vec<u8>) {
    let mut body = words(&[0, 0, 0, 4, 0, 0, 0, 0]);
    body.extend(1_u16.to_le_bytes());
    (0x1110, [body, vec![0], text("main")].concat())
}

pub fn coff_group(name: &str, section: u16, offset: u32, size: u32) -> (u16, Vec<u8>) {
    let mut body = words(&[size, 0x6000_0020, offset]);
    body.extend(section.to_le_bytes());
    (0x1137, [body, text(name)].concat())
}

pub fn section(number: u16, address: u32, size: u32) -> (u16, Vec<u8>) {
    let mut body = number.to_le_bytes().to_vec();
    body.extend([12, 0]);
    body.extend(words(&[address, size, 0x6000_0020]));
    (0x1136, [body, text(".text")].concat())
}
