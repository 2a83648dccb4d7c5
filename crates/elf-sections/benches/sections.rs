//! What it costs to find an image's writable segments, `.state` and `.bss`, the file opened and
//! closed, with files of three sizes; and to find this process's image of an address.
//!
//! The floor is reading the headers and the names with one system call each, and nothing else.

use std::fs::File;
use std::hint::black_box;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use elf_sections::{Image, Source, sys::Modules};

/// What is looked for: the writable segments, `.state` and `.bss`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    writable: Vec<Range<u64>>,
    sections: Vec<Range<u64>>,
}

/// A way to find it in a file.
type Reader = fn(&Path) -> Found;

const READERS: [(&str, Reader); 5] = [
    ("elf-sections", ours),
    ("floor: pread", floor),
    ("elf, stream", elf_stream),
    ("object, mapped", object_mapped),
    ("goblin, mapped", goblin_mapped),
];

fn ours(path: &Path) -> Found {
    let source = Source::new(File::open(path).unwrap()).unwrap();
    let image = source.image().unwrap();
    let writable = image
        .segments()
        .iter()
        .filter(|segment| segment.is_load() && segment.permissions.is_writable());
    let named = image.sections().iter().filter(|it| it.name == b".state" || it.name == b".bss");
    Found {
        writable: writable.map(elf_sections::Segment::range).collect(),
        sections: named.map(elf_sections::Section::range).collect(),
    }
}

/// Reads what any reader must, and finds nothing.
fn floor(path: &Path) -> Found {
    let file = File::open(path).unwrap();
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).unwrap();
    let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(header[at..at + 2].try_into().unwrap());
    let mut segments = vec![0; usize::from(half(0x38)) * 56];
    file.read_exact_at(&mut segments, word(0x20)).unwrap();
    let mut sections = vec![0; usize::from(half(0x3c)) * 64];
    file.read_exact_at(&mut sections, word(0x28)).unwrap();
    let names = &sections[usize::from(half(0x3e)) * 64..];
    let at = u64::from_le_bytes(names[0x18..0x20].try_into().unwrap());
    let size = u64::from_le_bytes(names[0x20..0x28].try_into().unwrap());
    let mut names = vec![0; size as usize];
    file.read_exact_at(&mut names, at).unwrap();
    black_box((segments, sections, names));
    Found::default()
}

fn elf_stream(path: &Path) -> Found {
    use elf::{ElfStream, abi, endian::LittleEndian};
    let mut file = ElfStream::<LittleEndian, _>::open_stream(File::open(path).unwrap()).unwrap();
    let writable = file
        .segments()
        .iter()
        .filter(|it| it.p_type == abi::PT_LOAD && it.p_flags & abi::PF_W != 0)
        .map(|it| it.p_vaddr..it.p_vaddr + it.p_memsz)
        .collect();
    let (headers, names) = file.section_headers_with_strtab().unwrap();
    let names = names.unwrap();
    let sections = headers
        .iter()
        .filter(|it| matches!(names.get(it.sh_name as usize), Ok(".state" | ".bss")))
        .map(|it| it.sh_addr..it.sh_addr + it.sh_size)
        .collect();
    Found { writable, sections }
}

fn mapped(path: &Path) -> memmap2::Mmap {
    let file = File::open(path).unwrap();
    #[allow(unsafe_code, reason = "mapping a file that nobody writes to")]
    // SAFETY: the file is this benchmark's own and is not written to any more.
    unsafe { memmap2::Mmap::map(&file) }.unwrap()
}

fn object_mapped(path: &Path) -> Found {
    use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
    use object::{LittleEndian as L, elf};
    let map = mapped(path);
    let header = elf::FileHeader64::<L>::parse(&*map).unwrap();
    let endian = header.endian().unwrap();
    let writable = header
        .program_headers(endian, &*map)
        .unwrap()
        .iter()
        .filter(|it| it.p_type(endian) == elf::PT_LOAD && it.p_flags(endian).0 & 2 != 0)
        .map(|it| it.p_vaddr(endian)..it.p_vaddr(endian) + it.p_memsz(endian))
        .collect();
    let table = header.sections(endian, &*map).unwrap();
    let named = table.iter().filter(|it| {
        let name = table.section_name(endian, it).unwrap_or_default();
        name == b".state" || name == b".bss"
    });
    let sections =
        named.map(|it| it.sh_addr(endian)..it.sh_addr(endian) + it.sh_size(endian)).collect();
    Found { writable, sections }
}

fn goblin_mapped(path: &Path) -> Found {
    let map = mapped(path);
    let elf = goblin::elf::Elf::parse(&map).unwrap();
    let writable = elf
        .program_headers
        .iter()
        .filter(|it| it.p_type == 1 && it.is_write())
        .map(|it| it.p_vaddr..it.p_vaddr + it.p_memsz)
        .collect();
    let sections = elf
        .section_headers
        .iter()
        .filter(|it| matches!(elf.shdr_strtab.get_at(it.sh_name), Some(".state" | ".bss")))
        .map(|it| it.sh_addr..it.sh_addr + it.sh_size)
        .collect();
    Found { writable, sections }
}

/// A guest of about this size, all of it written: `padding` bytes that differ, and some functions.
fn guest(directory: &Path, name: &str, padding: usize, functions: usize) -> Option<PathBuf> {
    let blob = directory.join("blob");
    let mut state = 1_u32;
    let bytes: Vec<u8> = (0..padding)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    std::fs::write(&blob, bytes).ok()?;
    let many: String =
        (0..functions).map(|it| format!("int function_{it}(void) {{ return {it}; }}\n")).collect();
    let source = format!(
        "__attribute__((section(\".state\"))) int state = 1; int zeros[64];\n{many}
         asm(\".section .blob,\\\"\\\"\\n.incbin \\\"{}\\\"\\n.text\");",
        blob.display()
    );
    let (input, output) = (directory.join("guest.c"), directory.join(name));
    std::fs::write(&input, source).ok()?;
    let status = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&output, &input])
        .status()
        .ok()?;
    std::fs::remove_file(blob).ok()?;
    status.success().then_some(output)
}

fn headers(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    for (size, padding, functions) in
        [("14 KB", 0, 0), ("9 MB", 8 << 20, 5000), ("500 MB", 500 << 20, 5000)]
    {
        let Some(path) = guest(directory.path(), "guest.so", padding, functions) else {
            eprintln!("skipped: gcc makes no guest of {size}");
            continue;
        };
        let expected = ours(&path);
        assert_eq!(expected.sections.len(), 2);
        for (name, read) in READERS {
            assert!(name.starts_with("floor") || read(&path) == expected, "{name}");
        }
        let mut group = criterion.benchmark_group(size);
        for (name, read) in READERS {
            group.bench_function(name, |bencher| bencher.iter(|| read(black_box(&path))));
        }
        group.bench_function("elf-sections, all that is writable", |bencher| {
            bencher.iter(|| {
                let source = Source::new(File::open(black_box(&path)).unwrap()).unwrap();
                source.image().unwrap().writable()
            });
        });
        group.finish();
        ratios(size, &path);
    }
}

/// The medians of turns of some runs each, so that all see the same load of the machine, and each
/// finds the processor's caches as it left them and not as the one before it did.
fn ratios(size: &str, path: &Path) {
    const ROUNDS: usize = 200;
    const RUNS: u32 = 20;
    let mut times: [Vec<Duration>; READERS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, read), times) in READERS.iter().zip(&mut times) {
            let start = Instant::now();
            for _ in 0..RUNS {
                black_box(read(path));
            }
            times.push(start.elapsed() / RUNS);
        }
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    });
    print!("{size}: ours {:?}", medians[0]);
    for ((name, _), median) in READERS.iter().zip(medians).skip(1) {
        print!("; {name} {median:?} ({:.2})", medians[0].as_secs_f64() / median.as_secs_f64());
    }
    println!(" [ours / theirs]");
}

/// A thousand images are made by loading copies of one.
fn modules(criterion: &mut Criterion) {
    const COUNT: usize = 1000;
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = guest(directory.path(), "guest.so", 0, 0) else { return };
    let bytes = std::fs::read(&path).unwrap();
    for index in 0..COUNT {
        let copy = directory.path().join(format!("copy-{index}.so"));
        std::fs::write(&copy, &bytes).unwrap();
        load(&copy);
    }
    let mut modules = Modules::now();
    assert!(modules.all().len() > COUNT);
    let addresses: Vec<usize> =
        modules.all().iter().map(|module| module.mapped().last().unwrap().start).collect();
    let mut group = criterion.benchmark_group("an address among 1,000 images");
    let mut next = 0;
    group.bench_function("looked up", |bencher| {
        bencher.iter(|| {
            // A stride that visits all of them in no order that memory likes.
            next = (next + 617) % addresses.len();
            modules.at(black_box(addresses[next])).map(|module| module.bias)
        });
    });
    group.bench_function("noticing that nothing has changed", |bencher| {
        bencher.iter(|| modules.is_current());
    });
    group.bench_function("reading the list", |bencher| bencher.iter(Modules::now));
    group.finish();
    assert!(!modules.refresh());
}

#[allow(unsafe_code, reason = "loads a library without initialisers")]
fn load(path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a C string, and the library only has variables.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null());
}

/// Reading a whole image that is in memory already.
fn parse(criterion: &mut Criterion) {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut group = criterion.benchmark_group("this program, in memory");
    group
        .bench_function("elf-sections", |bencher| bencher.iter(|| Image::parse(black_box(&bytes))));
    group.bench_function("object", |bencher| {
        bencher
            .iter(|| object::read::elf::ElfFile64::<object::Endianness>::parse(black_box(&*bytes)));
    });
    group.bench_function("goblin", |bencher| {
        bencher.iter(|| goblin::elf::Elf::parse(black_box(&bytes)));
    });
    group.finish();
}

criterion_group!(benches, headers, modules, parse);
criterion_main!(benches);
