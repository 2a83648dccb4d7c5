use std::ops::Range;

/// The class and byte order of an image that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub is_wide: bool,
    pub is_big: bool,
}

pub const LITTLE_64: Form = Form { is_wide: true, is_big: false };
pub const LITTLE_32: Form = Form { is_wide: false, is_big: false };
pub const BIG_64: Form = Form { is_wide: true, is_big: true };
pub const BIG_32: Form = Form { is_wide: false, is_big: true };
pub const FORMS: [Form; 4] = [LITTLE_64, LITTLE_32, BIG_64, BIG_32];

impl Form {
    pub fn u16(self, value: u16) -> Vec<u8> {
        if self.is_big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub fn u32(self, value: u32) -> Vec<u8> {
        if self.is_big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub fn u64(self, value: u64) -> Vec<u8> {
        if self.is_big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    pub fn word(self, value: u64) -> Vec<u8> {
        if self.is_wide { self.u64(value) } else { self.u32(value as u32) }
    }

    pub fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }

    pub fn word_size(self) -> usize {
        if self.is_wide { 8 } else { 4 }
    }

    pub fn header_size(self) -> usize {
        if self.is_wide { 32 } else { 28 }
    }

    /// A load command: its number, its size, and the rest, padded.
    pub fn command(self, kind: u32, rest: &[u8]) -> Vec<u8> {
        let size = (8 + rest.len()).next_multiple_of(self.word_size());
        let mut command = self.words(&[kind, size as u32]);
        command.extend_from_slice(rest);
        command.resize(size, 0);
        command
    }

    /// A `dylib_command`.
    pub fn dylib(self, kind: u32, name: &str) -> Vec<u8> {
        let mut rest = self.words(&[24, 2, 0x0001_0203, 0x0001_0000]);
        rest.extend_from_slice(name.as_bytes());
        rest.push(0);
        self.command(kind, &rest)
    }

    /// An `rpath_command`.
    pub fn rpath(self, path: &str) -> Vec<u8> {
        let mut rest = self.words(&[12]);
        rest.extend_from_slice(path.as_bytes());
        rest.push(0);
        self.command(RPATH, &rest)
    }

    pub fn segment(self, segment: &Segment) -> Vec<u8> {
        let mut rest = fixed(segment.name);
        for value in [segment.address, segment.size, segment.offset, segment.file_size] {
            rest.extend(self.word(value));
        }
        let count = segment.sections.len() as u32;
        rest.extend(self.words(&[segment.maximum, segment.permissions, count, segment.flags]));
        for section in &segment.sections {
            rest.extend(fixed(section.name));
            rest.extend(fixed(section.segment));
            rest.extend(self.word(section.address));
            rest.extend(self.word(section.size));
            rest.extend(self.words(&[section.offset, section.align, 0, 0, section.flags, 0, 0]));
            if self.is_wide {
                rest.extend(self.u32(0));
            }
        }
        self.command(if self.is_wide { 0x19 } else { 0x1 }, &rest)
    }

    /// Header and commands, padded to `size`.
    pub fn head(self, kind: u32, commands: &[Vec<u8>], size: usize) -> Vec<u8> {
        let magic: u32 = if self.is_wide { 0xfeed_facf } else { 0xfeed_face };
        let cpu = match (self.is_wide, self.is_big) {
            (true, false) => [0x0100_000c, 0],
            (false, false) => [7, 3],
            (true, true) => [0x0100_0012, 0],
            (false, true) => [18, 0],
        };
        let bytes: usize = commands.iter().map(Vec::len).sum();
        let mut head = self.words(&[magic, cpu[0], cpu[1], kind]);
        head.extend(self.words(&[commands.len() as u32, bytes as u32, 0x85]));
        head.resize(self.header_size(), 0);
        head.extend(commands.iter().flatten());
        assert!(head.len() <= size, "{:#x} bytes of head", head.len());
        head.resize(size, 0);
        head
    }

    /// An entry of the symbol table.
    pub fn symbol(self, name: u32, kind: u8, section: u8, description: u16, value: u64) -> Vec<u8> {
        let mut symbol = self.u32(name);
        symbol.extend([kind, section]);
        symbol.extend(self.u16(description));
        symbol.extend(self.word(value));
        symbol
    }
}

pub struct Segment {
    pub name: &'static str,
    pub address: u64,
    pub size: u64,
    pub offset: u64,
    pub file_size: u64,
    pub maximum: u32,
    pub permissions: u32,
    pub flags: u32,
    pub sections: Vec<Section>,
}

pub struct Section {
    pub name: &'static str,
    pub segment: &'static str,
    pub address: u64,
    pub size: u64,
    pub offset: u32,
    pub align: u32,
    pub flags: u32,
}

pub fn section(
    segment: &'static str,
    name: &'static str,
    address: u64,
    size: u64,
    offset: u32,
    flags: u32,
) -> Section {
    Section { name, segment, address, size, offset, align: 3, flags }
}

/// How a made image's fixups are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Opcodes,
    /// Chained pointers of this format, with the two words that the chain consists of.
    Chained(u16, u64, u64),
    Relocations,
}

/// A dynamic library of everything: 0x800 bytes of head, 0x100 of code, 0x100 of `__DATA_CONST`,
/// 0x100 of data, then tables and, if wanted, a signature. Addresses are offsets plus [`BASE`].
pub struct Made {
    pub bytes: Vec<u8>,
    /// Where the signature is; empty if there is none.
    pub signature: Range<usize>,
}

pub const BASE: u64 = 0x10000;
pub const DATA: u64 = BASE + 0xa00;
pub const UUID: [u8; 16] = *b"0123456789abcdef";

pub fn library(form: Form, encoding: Encoding, directories: &[Directory]) -> Made {
    let tables = tables(form, encoding);
    let linkedit = 0xb00;
    let (symbols, strings) = symbols(form);
    let symbols_at = linkedit + tables.bytes.len();
    let strings_at = symbols_at + symbols.len();
    let end = (strings_at + strings.len()).next_multiple_of(16);
    let signature_size = if directories.is_empty() { 0 } else { signature_size(end, directories) };

    let mut commands = vec![
        form.segment(&Segment {
            name: "__TEXT",
            address: BASE,
            size: 0x900,
            offset: 0,
            file_size: 0x900,
            maximum: 5,
            permissions: 5,
            flags: 0,
            sections: vec![section("__TEXT", "__text", BASE + 0x800, 0x100, 0x800, 0x8000_0400)],
        }),
        form.segment(&Segment {
            name: "__DATA_CONST",
            address: BASE + 0x900,
            size: 0x100,
            offset: 0x900,
            file_size: 0x100,
            maximum: 3,
            permissions: 3,
            flags: 0x10,
            sections: vec![section("__DATA_CONST", "__got", BASE + 0x900, 0x20, 0x900, 6)],
        }),
        form.segment(&Segment {
            name: "__DATA",
            address: DATA,
            size: 0x200,
            offset: 0xa00,
            file_size: 0x100,
            maximum: 3,
            permissions: 3,
            flags: 0,
            sections: vec![
                section("__DATA", "__data", DATA, 0x80, 0xa00, 0),
                section("__DATA", "__la_symbol_ptr", DATA + 0x80, 0x10, 0xa80, 7),
                section("__DATA", "__mod_init_func", DATA + 0x90, 0x10, 0xa90, 9),
                section("__DATA", "__thread_vars", DATA + 0xa0, 0x18, 0xaa0, 0x13),
                section("__DATA", "__sixteen_letters", DATA + 0xb8, 0x20, 0xab8, 0),
                section("__DATA", "__thread_data", DATA + 0xf0, 0x10, 0xaf0, 0x11),
                section("__DATA", "__thread_bss", DATA + 0x100, 0x8, 0, 0x12),
                section("__DATA", "__common", DATA + 0x110, 0x30, 0, 1),
                section("__DATA", "__bss", DATA + 0x140, 0xa0, 0, 1),
            ],
        }),
        form.segment(&Segment {
            name: "__LINKEDIT",
            address: BASE + 0x10000,
            size: 0x8000,
            offset: linkedit as u64,
            file_size: (end + signature_size - linkedit) as u64,
            maximum: 1,
            permissions: 1,
            flags: 0,
            sections: vec![],
        }),
        form.dylib(0xd, "@rpath/libmade.dylib"),
        form.command(
            0x2,
            &form.words(&[
                symbols_at as u32,
                (symbols.len() / form.symbol(0, 0, 0, 0, 0).len()) as u32,
                strings_at as u32,
                strings.len() as u32,
            ]),
        ),
        form.command(0x1b, &UUID),
        form.command(0x32, &form.words(&[1, 0x000b_0000, 0x000e_0201, 1, 4, 0x0013_0107])),
        form.dylib(0xc, "/usr/lib/libSystem.B.dylib"),
        form.dylib(0x8000_0018, "@rpath/libweak.dylib"),
        form.rpath("@loader_path/lib"),
    ];
    commands.push((tables.command)(linkedit as u32));
    if !directories.is_empty() {
        let place = form.words(&[end as u32, signature_size as u32]);
        commands.push(form.command(0x1d, &place));
    }

    let mut bytes = form.head(6, &commands, 0x800);
    bytes.extend((0..0x100_u32).map(|it| it as u8));
    bytes.resize(0xa00, 0xc0);
    bytes.extend((0..0x100_u32).map(|it| (it ^ 0xa5) as u8));
    for (address, word) in tables.words {
        let at = (address - BASE) as usize;
        bytes[at..at + word.len()].copy_from_slice(&word);
    }
    bytes.extend(tables.bytes);
    bytes.extend(symbols);
    bytes.extend(strings);
    bytes.resize(end, 0);
    let signature = end..end + signature_size;
    if !directories.is_empty() {
        bytes.extend(sign(&bytes, directories));
    }
    assert_eq!(bytes.len(), signature.end);
    Made { bytes, signature }
}

/// Tables of fixups, the load command that points to them, and words of the image that belong to
/// them.
struct Tables {
    bytes: Vec<u8>,
    command: Box<dyn Fn(u32) -> Vec<u8>>,
    words: Vec<(u64, Vec<u8>)>,
}

fn tables(form: Form, encoding: Encoding) -> Tables {
    let words = vec![(DATA + 0x10, form.word(DATA + 0x20))];
    match encoding {
        Encoding::Opcodes => {
            // Pointer in segment 2 at 0x10, then one word in every 0x10, three times.
            let rebase = vec![0x11, 0x22, 0x10, 0x51, 0x30, 0x10, 0x80, 3, 0x08, 0];
            let mut bind = vec![0x11, 0x40];
            bind.extend(b"_bound\0");
            bind.extend([0x51, 0x60, 0x78, 0x71, 0x00, 0x90, 0]);
            let mut weak = vec![0x40];
            weak.extend(b"_weak\0");
            weak.extend([0x51, 0x72, 0x70, 0x90, 0]);
            let mut lazy = vec![0x72, 0x80, 0x01, 0x12, 0x40];
            lazy.extend(b"_lazy\0");
            lazy.extend([0x90, 0]);
            let sizes = [&rebase, &bind, &weak, &lazy].map(|it| it.len() as u32);
            let command = Box::new(move |at: u32| {
                let mut places = Vec::new();
                let mut at = at;
                for size in sizes {
                    places.extend([at, size]);
                    at += size;
                }
                places.extend([0, 0]);
                form.command(0x8000_0022, &form.words(&places))
            });
            Tables { bytes: [rebase, bind, weak, lazy].concat(), command, words }
        }
        Encoding::Chained(format, first, second) => {
            let is_wide = !matches!(format, 3..=5);
            let mut bytes = form.words(&[0, 28, 72, 76, 1, 1, 0]);
            // Four segments, of which the third has fixups.
            bytes.extend(form.words(&[4, 0, 0, 20, 0]));
            bytes.extend(form.words(&[24]));
            for half in [0x1000, format] {
                bytes.extend(form.u16(half));
            }
            bytes.extend(form.u64(0xa00));
            bytes.extend(form.words(&[if is_wide { 0 } else { 0x0010_0000 }]));
            bytes.extend(form.u16(1));
            bytes.extend(form.u16(0x10));
            assert_eq!(bytes.len(), 72);
            // One import: library 1, name at offset 1 of the names.
            bytes.extend(form.u32(1 | 1 << 9));
            bytes.extend(b"\0_chained\0\0");
            let size = bytes.len() as u32;
            let word = |value: u64| if is_wide { form.u64(value) } else { form.u32(value as u32) };
            let words = vec![(DATA + 0x10, word(first)), (DATA + 0x20, word(second))];
            let command =
                Box::new(move |at: u32| form.command(0x8000_0034, &form.words(&[at, size])));
            Tables { bytes, command, words }
        }
        Encoding::Relocations => {
            // One external entry for symbol 1 at 0x20 of __DATA, one local at 0x10.
            let length = if form.is_wide { 3 } else { 2 };
            let info = |symbol: u32, is_external: u32| {
                if form.is_big {
                    symbol << 8 | length << 5 | is_external << 4
                } else {
                    symbol | length << 25 | is_external << 27
                }
            };
            let from = |offset: u32| 0xa00 + offset;
            let bytes = form.words(&[from(0x20), info(1, 1), from(0x10), info(3, 0)]);
            let command = Box::new(move |at: u32| {
                let mut words = vec![0; 14];
                words.extend([at, 1, at + 8, 1]);
                form.command(0xb, &form.words(&words))
            });
            Tables { bytes, command, words }
        }
    }
}

/// A function, an import, a variable, and the notes of the object file that both came from.
fn symbols(form: Form) -> (Vec<u8>, Vec<u8>) {
    let strings = b"\0_function\0_import\0_variable\0/work/\0made.c\0/work/libmade.a(made.o)\0";
    let at = |name: &[u8]| strings.windows(name.len()).position(|it| it == name).unwrap() as u32;
    let entries = [
        form.symbol(at(b"_function"), 0x0f, 1, 0, BASE + 0x800),
        form.symbol(at(b"_import"), 0x01, 0, 0x0140, 0),
        form.symbol(at(b"_variable"), 0x0f, 3, 0x80, DATA),
        form.symbol(at(b"/work/\0"), 0x64, 0, 0, 0),
        form.symbol(at(b"made.c"), 0x64, 0, 0, 0),
        form.symbol(at(b"/work/lib"), 0x66, 0, 1, 1234),
        form.symbol(at(b"_function"), 0x24, 1, 0, BASE + 0x800),
        form.symbol(0, 0x24, 0, 0, 0x20),
        form.symbol(at(b"_variable"), 0x20, 0, 0, 0),
        form.symbol(0, 0x64, 1, 0, 0),
    ];
    (entries.concat(), strings.to_vec())
}

/// A code directory that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Directory {
    pub slot: u32,
    pub hash: u8,
    pub flags: u32,
}

pub const SHA256: Directory = Directory { slot: 0, hash: 2, flags: 0x2_0002 };
pub const SHA1: Directory = Directory { slot: 0x1000, hash: 1, flags: 0x2 };

impl Directory {
    pub fn digest(&self, bytes: &[u8]) -> Vec<u8> {
        use sha1::Sha1;
        use sha2::{Digest, Sha256, Sha384};
        match self.hash {
            1 => Sha1::digest(bytes).to_vec(),
            2 => Sha256::digest(bytes).to_vec(),
            3 => Sha256::digest(bytes)[..20].to_vec(),
            4 => Sha384::digest(bytes).to_vec(),
            other => panic!("hash {other}"),
        }
    }

    /// How many bytes a directory for `limit` bytes takes, and where its hashes start.
    fn size(&self, limit: usize) -> (usize, usize) {
        let hash = self.digest(&[]).len();
        // 88 bytes of header, an identifier, five special slots.
        let hashes = 88 + IDENTIFIER.len() + 5 * hash;
        (hashes + limit.div_ceil(PAGE) * hash, hashes)
    }
}

const IDENTIFIER: &[u8] = b"made\0";
pub const PAGE: usize = 256;
/// Entitlements: a blob that has its hash in special slot 5.
const ENTITLEMENTS: &[u8] = b"\xfa\xde\x71\x71\x00\x00\x00\x10<plist/>";

fn signature_size(limit: usize, directories: &[Directory]) -> usize {
    let index = 12 + 8 * (directories.len() + 1);
    let size: usize = directories.iter().map(|it| it.size(limit).0).sum();
    (index + size + ENTITLEMENTS.len()).next_multiple_of(16)
}

/// A signature over all of `bytes`.
pub fn sign(bytes: &[u8], directories: &[Directory]) -> Vec<u8> {
    let be = |values: &[u32]| values.iter().flat_map(|it| it.to_be_bytes()).collect::<Vec<u8>>();
    let limit = bytes.len();
    let mut index = Vec::new();
    let mut blobs = Vec::new();
    let start = 12 + 8 * (directories.len() + 1);
    for directory in directories {
        index.extend([directory.slot, (start + blobs.len()) as u32]);
        let (size, hashes) = directory.size(limit);
        let hash = directory.digest(&[]).len();
        let pages = limit.div_ceil(PAGE) as u32;
        let mut blob = be(&[0xfade_0c02, size as u32, 0x2_0400, directory.flags, hashes as u32]);
        blob.extend(be(&[88, 5, pages, limit as u32]));
        blob.extend([hash as u8, directory.hash, 0, 8]);
        blob.extend(be(&[0, 0, 0, 0, 0, 0]));
        blob.extend([0; 24]);
        assert_eq!(blob.len(), 88);
        blob.extend(IDENTIFIER);
        blob.extend(directory.digest(ENTITLEMENTS));
        blob.resize(hashes, 0);
        for page in bytes.chunks(PAGE) {
            blob.extend(directory.digest(page));
        }
        assert_eq!(blob.len(), size);
        blobs.extend(blob);
    }
    index.extend([5, (start + blobs.len()) as u32]);
    blobs.extend(ENTITLEMENTS);
    let length = start + blobs.len();
    let mut signature = be(&[0xfade_0cc0, length as u32, directories.len() as u32 + 1]);
    signature.extend(be(&index));
    signature.extend(blobs);
    signature.resize(signature_size(limit, directories), 0);
    signature
}

/// A fat file of these images, each aligned to 16 bytes.
pub fn fat(images: &[&[u8]], is_64: bool) -> Vec<u8> {
    let entry = if is_64 { 32 } else { 20 };
    let mut at = (8 + images.len() * entry).next_multiple_of(16);
    let magic: u32 = if is_64 { 0xcafe_babf } else { 0xcafe_babe };
    let mut bytes = [magic, images.len() as u32].map(u32::to_be_bytes).concat();
    let mut contents = Vec::new();
    for (image, cpu) in images.iter().zip([0x0100_000c_u32, 0x0100_0007, 7, 12]) {
        bytes.extend([cpu, 3].map(u32::to_be_bytes).concat());
        if is_64 {
            bytes.extend([at as u64, image.len() as u64].map(u64::to_be_bytes).concat());
            bytes.extend([4, 0_u32].map(u32::to_be_bytes).concat());
        } else {
            bytes.extend([at as u32, image.len() as u32, 4].map(u32::to_be_bytes).concat());
        }
        let padded = image.len().next_multiple_of(16);
        contents.extend_from_slice(image);
        contents.resize(contents.len() + padded - image.len(), 0);
        at += padded;
    }
    let head = (8 + images.len() * entry).next_multiple_of(16);
    bytes.resize(head, 0);
    bytes.extend(contents);
    bytes
}

fn fixed(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = name.bytes().take(16).collect();
    bytes.resize(16, 0);
    bytes
}

const RPATH: u32 = 0x8000_001c;

/// Every made image that is worth damaging, by name.
pub fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut fixtures = Vec::new();
    for form in FORMS {
        let bits = if form.is_wide { 64 } else { 32 };
        let order = if form.is_big { "big" } else { "little" };
        for (name, encoding) in [("opcodes", Encoding::Opcodes), ("old", Encoding::Relocations)] {
            let made = library(form, encoding, &[SHA256, SHA1]);
            fixtures.push((format!("good-{name}-{bits}-{order}"), made.bytes));
        }
    }
    for (name, form, encoding) in chained() {
        fixtures.push((format!("good-chained-{name}"), library(form, encoding, &[SHA256]).bytes));
    }
    let (first, second) = (
        library(LITTLE_64, Encoding::Opcodes, &[SHA256]).bytes,
        library(LITTLE_32, Encoding::Opcodes, &[]).bytes,
    );
    fixtures.push(("good-fat".into(), fat(&[&first, &second], false)));
    fixtures.push(("good-fat64".into(), fat(&[&first, &second], true)));
    fixtures
}

/// Chained fixups: each format with a rebase at 0x10 that leads to a bind at 0x20.
pub fn chained() -> Vec<(&'static str, Form, Encoding)> {
    let plain = |target: u64| target | (0x10 / 4) << 51;
    let bind = 1 << 63;
    let arm64e_bind = 1_u64 << 62;
    let arm64e = |target: u64| target | (0x10 / 8) << 51;
    // Signed with key 2 (DA), by address, with the number 0x1234; the target is an offset.
    let signed = 1_u64 << 63 | (0x10 / 8) << 51 | 2 << 49 | 1 << 48 | 0x1234 << 32 | 0xa20;
    vec![
        ("64", LITTLE_64, Encoding::Chained(2, plain(DATA + 0x20), bind)),
        ("64-offset", LITTLE_64, Encoding::Chained(6, plain(0xa20), bind)),
        ("arm64e", LITTLE_64, Encoding::Chained(1, arm64e(DATA + 0x20), arm64e_bind)),
        ("arm64e-userland", LITTLE_64, Encoding::Chained(9, arm64e(0xa20), arm64e_bind)),
        ("arm64e-userland24", LITTLE_64, Encoding::Chained(12, signed, arm64e_bind)),
        ("32", LITTLE_32, Encoding::Chained(3, (DATA + 0x20) | (0x10 / 4) << 26, 1 << 31)),
    ]
}
