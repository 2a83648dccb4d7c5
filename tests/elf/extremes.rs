use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use elf_sections::{Image, ReadAt, Source};
use object_free::Writer;
use reloader_tests::{missing, went_through};

use crate::workshop::{Workshop, printed};

/// Images written field by field.
mod object_free {
    /// A 64-bit little-endian file.
    #[derive(Default)]
    pub struct Writer(pub Vec<u8>);

    impl Writer {
        pub fn half(&mut self, values: &[u16]) {
            values.iter().for_each(|it| self.0.extend(it.to_le_bytes()));
        }

        pub fn int(&mut self, values: &[u32]) {
            values.iter().for_each(|it| self.0.extend(it.to_le_bytes()));
        }

        pub fn word(&mut self, values: &[u64]) {
            values.iter().for_each(|it| self.0.extend(it.to_le_bytes()));
        }

        /// The counts are those of the file header, which section 0 may correct.
        pub fn header(&mut self, phoff: u64, shoff: u64, counts: [u16; 3]) {
            self.0.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
            self.half(&[3, 62]);
            self.int(&[1]);
            self.word(&[0, phoff, shoff]);
            self.int(&[0]);
            self.half(&[64, 56, counts[0], 64, counts[1], counts[2]]);
        }

        pub fn section(
            &mut self,
            name: u32,
            kind: u32,
            [address, offset, size]: [u64; 3],
            link_info: [u32; 2],
        ) {
            self.int(&[name, kind]);
            self.word(&[0, address, offset, size]);
            self.int(&link_info);
            self.word(&[1, 0]);
        }
    }
}

/// A file that counts how often and how much is read of it.
struct Counted<R> {
    inner: R,
    reads: Mutex<Vec<(u64, usize)>>,
}

impl<R: ReadAt> ReadAt for Counted<R> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.lock().unwrap().push((offset, buffer.len()));
        self.inner.read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }
}

impl<R> Counted<R> {
    fn new(inner: R) -> Counted<R> {
        Counted { inner, reads: Mutex::default() }
    }
}

#[test]
fn a_section_table_beyond_four_gibibytes_is_found_with_a_few_small_reads() {
    const FAR: u64 = (4 << 30) + 0x1238;
    let workshop = Workshop::new();
    let path = workshop.path("sparse");
    let file = File::create(&path).unwrap();
    let mut writer = Writer::default();
    writer.header(64, FAR, [1, 4, 3]);
    writer.int(&[1, 6]);
    writer.word(&[0x1000, 0x1000, 0x1000, 0x10, 0x20, 0x1000]);
    file.write_all_at(&writer.0, 0).unwrap();
    let mut table = Writer::default();
    let names = b"\0.state\0.blob\0.shstrtab\0";
    table.section(0, 0, [0; 3], [0; 2]);
    table.section(1, 1, [0x1000, 0x1000, 0x10], [0; 2]);
    table.section(8, 1, [0, 0x2000, FAR - 0x3000], [0; 2]);
    table.section(14, 3, [0, FAR - 64, names.len() as u64], [0; 2]);
    file.write_all_at(names, FAR - 64).unwrap();
    file.write_all_at(&table.0, FAR).unwrap();

    let source = Source::new(Counted::new(File::open(&path).unwrap())).unwrap();
    let image = source.image().unwrap();
    let state = image.sections_named(".state").next().unwrap();
    assert_eq!(state.range(), 0x1000..0x1010);
    assert_eq!(image.sections_named(".blob").next().unwrap().size, FAR - 0x3000);
    assert!(image.check_extent().is_ok());
    assert_eq!(image.section_bytes(state).unwrap(), &[0; 16]);
    let reads = source.reader().reads.lock().unwrap().clone();
    assert!(reads.len() <= 3, "{reads:x?}");
    assert!(source.fetched() < 8192, "{}", source.fetched());
    if let Some(text) = printed("readelf", &["-SW"], &path) {
        assert!(text.contains(&format!("{:06x}", FAR - 64)), "{text}");
    }
}

#[test]
fn seventy_thousand_sections_and_segments_are_those_that_readelf_prints() {
    const MANY: u64 = 70_000;
    let workshop = Workshop::new();
    let (program_headers, size) = (64, 56 * MANY);
    let names_at = program_headers + size;
    let mut names = vec![0];
    let mut starts = Vec::new();
    for index in 0..MANY {
        starts.push(names.len() as u32);
        names.extend(format!(".s{index}").bytes());
        names.push(0);
    }
    let table = (names_at + names.len() as u64).next_multiple_of(8);
    let mut writer = Writer::default();
    writer.header(program_headers, table, [0xffff, 0, 0xffff]);
    for index in 0..MANY {
        writer.int(&[1, if index == MANY - 1 { 6 } else { 4 }]);
        writer.word(&[0, index * 4096, 0, 0, 4096, 4096]);
    }
    writer.0.extend(&names);
    writer.0.resize(table as usize, 0);
    // Section 0 has the number of sections, the index of the names, and the number of segments.
    writer.section(0, 0, [0, 0, MANY + 2], [MANY as u32 + 1, MANY as u32]);
    for index in 0..MANY {
        writer.section(starts[index as usize], 8, [index * 4096, 0, 8], [0; 2]);
    }
    writer.section(0, 3, [0, names_at, names.len() as u64], [0; 2]);
    let path = workshop.write("many", &writer.0);

    let source = Source::new(Counted::new(File::open(&path).unwrap())).unwrap();
    let image = source.image().unwrap();
    assert_eq!(image.sections().len() as u64, MANY + 2);
    assert_eq!(image.segments().len() as u64, MANY);
    let last = image.sections_named(".s69999").next().unwrap();
    assert_eq!((last.index, last.address), (70_000, 69_999 * 4096));
    assert!(source.reader().reads.lock().unwrap().len() <= 5);
    let whole = Image::parse(&writer.0).unwrap();
    assert!(whole.sections() == image.sections() && whole.segments() == image.segments());
    let writable = image.writable();
    assert_eq!(writable.size(), 4096);
    if let Some(text) = printed("readelf", &["-SW"], &path) {
        let lines = text.lines().filter(|line| line.contains("] .s")).count() as u64;
        assert_eq!(lines, MANY);
        assert!(text.contains("[70000] .s69999"), "{}", &text[text.len() - 600..]);
    }
    if let Some(text) = printed("readelf", &["-lW"], &path) {
        assert_eq!(text.matches("  LOAD  ").count() as u64, MANY);
    }
}

#[test]
fn headers_of_a_large_file_cost_a_few_reads() {
    let (mut most, mut count) = (0, 0);
    for path in ["/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/lib/x86_64-linux-gnu/libc.so.6"]
    {
        let Ok(file) = File::open(path) else {
            missing(&format!("{path} is missing"));
            continue;
        };
        let source = Source::new(Counted::new(file)).unwrap();
        let image = source.image().unwrap();
        assert!(image.sections_named(".bss").next().is_some());
        let reads = source.reader().reads.lock().unwrap().len();
        assert!(reads <= 3, "{path}: {reads}");
        assert!(image.soname().is_some() && image.build_id().is_some());
        let function = image.dynamic_symbols().find(|it| it.is_defined() && it.size > 0).unwrap();
        let name = std::str::from_utf8(function.name).unwrap();
        assert!(image.exported(name).is_some());
        let reads = source.reader().reads.lock().unwrap().len();
        assert!(reads <= 14, "{path}: {reads}");
        most = most.max(source.fetched() * 100 / source.length());
        count += 1;
    }
    went_through(count, 2, "large files");
    assert!(most < 50, "{most} %");
}

/// Fails from some offset on.
struct Broken<'a> {
    bytes: &'a [u8],
    until: u64,
    calls: Mutex<Cell<u32>>,
}

impl ReadAt for Broken<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let calls = self.calls.lock().unwrap();
        calls.set(calls.get() + 1);
        if calls.get().is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if offset + buffer.len() as u64 > self.until {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        // Less than asked for, as a system may give.
        let count = buffer.len().min(100);
        self.bytes.read_at(&mut buffer[..count], offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.bytes.length()
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_one_that_is_incomplete() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let broken = |until| Broken { bytes: &bytes, until, calls: Mutex::default() };
    let source = Source::new(broken(u64::MAX)).unwrap();
    assert_eq!(source.image().unwrap().sections(), Image::parse(&bytes).unwrap().sections());
    let source = Source::new(broken(8192)).unwrap();
    let error = source.image().unwrap_err();
    assert!(!error.is_incomplete(), "{error}");
    assert!(error.to_string().contains("cannot be read"), "{error}");
    assert_eq!(source.failure(), Some(error));
}
