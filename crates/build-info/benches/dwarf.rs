//! What reading a large debug file costs, as a whole process: its CPU time and its peak of memory,
//! beside gimli's ordinary interface that fills the same table, and `llvm-dwarfdump` that prints the
//! sources.
//!
//! `cargo bench -p build-info --bench dwarf`. The file is that of libjvm in Debian's package
//! `openjdk-17-dbg`, which is fetched and kept in the target directory; or `DWARF=/path/to/a.debug`.

mod processes;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_info::{BuildInfo, Questions, elf};
use criterion::Criterion;
use gimli::{AttributeValue, EndianSlice, LittleEndian};
use object::elf::FileHeader64;
use object::read::elf::{CompressionHeader, FileHeader, SectionHeader};
use object::{Endianness, ReadRef};
use processes::{beside, has_been, in_turns, spent};

fn main() {
    if has_been(child) {
        return;
    }
    let given = std::env::var_os("DWARF").map(PathBuf::from);
    let Some(packed) = given.or_else(debug_file) else {
        println!("skipped: the debug file is not here and cannot be fetched");
        return;
    };
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let plain = kept.join("plain.debug");
    let unpacked =
        Command::new("objcopy").arg("--decompress-debug-sections").args([&packed, &plain]).status();
    if !unpacked.is_ok_and(|status| status.success()) {
        println!("skipped: objcopy does not unpack the debug file");
        return;
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for (name, path) in [("plain", &plain), ("compressed", &packed)] {
        let file = File::open(path).expect("the debug file");
        let ours = elf::read(&file, &Questions::FILES).expect("the debug file");
        let theirs = with_mapping(path, Table::read);
        Table::of(&ours).compare(&theirs);
        println!(
            "{name}: {} MB, {} units, {} files, {} uses of files",
            file.metadata().map_or(0, |about| about.len() / 1_000_000),
            ours.units.len(),
            ours.files.len(),
            ours.units.iter().map(|unit| unit.files.len()).sum::<usize>(),
        );
        let mut group = criterion.benchmark_group(name);
        group.bench_function("units and files", |bencher| {
            bencher.iter(|| elf::read(&file, &Questions::FILES).map(|info| info.units.len()));
        });
        if name == "plain" {
            group.bench_function("everything", |bencher| {
                bencher.iter(|| elf::read(&file, &Questions::ALL).map(|info| info.units.len()));
            });
        }
        group.finish();
        processes(name, path);
    }
    criterion.final_summary();
}

/// Each reader in processes of its own, in turns, and LLVM's tool.
fn processes(name: &str, path: &Path) {
    let ours = in_turns(&READERS, name, path);
    let mut dump = Command::new("llvm-dwarfdump-19");
    dump.arg("--show-sources").arg(path).stdout(Stdio::null());
    if !beside(&mut dump, &format!("{name}, llvm-dwarfdump --show-sources"), ours) {
        println!("llvm-dwarfdump-19 is not here");
    }
}

fn child(reader: &str, path: &Path) {
    if reader == "build-info" {
        let file = File::open(path).expect("the debug file");
        let info = elf::read(&file, &Questions::FILES).expect("the debug file");
        spent();
        // What it takes to give the memory back is not the question.
        std::mem::forget(info);
    } else {
        with_mapping(path, |bytes| {
            let table = Rows::read(bytes);
            spent();
            std::mem::forget(table);
        });
    }
}

#[allow(unsafe_code, reason = "a mapping is unsafe to make, and what a reader of slices gets")]
fn with_mapping<T>(path: &Path, read: impl FnOnce(&[u8]) -> T) -> T {
    let file = File::open(path).expect("the debug file");
    // SAFETY: nothing writes to the file, which this program made or was given.
    let mapping = unsafe { memmap2::Mmap::map(&file) }.expect("a mapping");
    read(&mapping)
}

/// Units and files as gimli's ordinary interface gives them, each path once.
#[derive(Default)]
struct Rows {
    units: Vec<Row>,
    files: Vec<(String, Vec<u32>)>,
}

struct Row {
    name: String,
    comp_dir: String,
    files: Vec<u32>,
}

impl Rows {
    fn read(bytes: &[u8]) -> Self {
        let sections = sections(bytes);
        let load = |id: gimli::SectionId| {
            let bytes = sections.get(id.name()).map_or(&[][..], |bytes| bytes);
            Ok::<_, gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(load).expect("sections");
        let mut rows = Self::default();
        let mut by_path: HashMap<String, u32> = HashMap::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().expect("a unit") {
            let unit = dwarf.unit(header).expect("a unit");
            let text = |value: AttributeValue<_>| dwarf.attr_string(&unit, value).expect("a text");
            let name = unit.name.map(|name| name.to_string_lossy().into_owned());
            let comp_dir = unit.comp_dir.map(|name| name.to_string_lossy().into_owned());
            let (name, comp_dir) = (name.unwrap_or_default(), comp_dir.unwrap_or_default());
            let number = rows.units.len() as u32;
            let mut used = Vec::new();
            let mut add = |path: String| {
                let file = *by_path.entry(path).or_insert_with_key(|path| {
                    rows.files.push((path.clone(), Vec::new()));
                    rows.files.len() as u32 - 1
                });
                let users = &mut rows.files[file as usize].1;
                if users.last() != Some(&number) {
                    users.push(number);
                    used.push(file);
                }
            };
            add(join(&comp_dir, "", &name));
            if let Some(program) = &unit.line_program {
                let header = program.header();
                for file in header.file_names() {
                    // The first is the directory of compilation.
                    let directory = match file.directory_index() {
                        0 => None,
                        _ => file.directory(header).map(text),
                    };
                    let directory = directory.map(|one| one.to_string_lossy());
                    let name = text(file.path_name()).to_string_lossy();
                    if !name.starts_with('<') {
                        add(join(&comp_dir, &directory.unwrap_or_default(), &name));
                    }
                }
            }
            rows.units.push(Row { name, comp_dir, files: used });
        }
        rows
    }
}

fn join(comp_dir: &str, directory: &str, name: &str) -> String {
    let mut path = String::new();
    for part in [comp_dir, directory, name] {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !part.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    path
}

/// What both readers must agree in: each unit's name, directory and paths.
struct Table(BTreeMap<(String, String), BTreeSet<String>>);

impl Table {
    fn read(bytes: &[u8]) -> Self {
        let rows = Rows::read(bytes);
        let row = |row: &Row| {
            let paths = row.files.iter().map(|&file| rows.files[file as usize].0.clone());
            ((row.name.clone(), row.comp_dir.clone()), paths.collect())
        };
        Self(rows.units.iter().map(row).collect())
    }

    fn compare(&self, other: &Self) {
        assert_eq!(self.0.len(), other.0.len());
        for ((ours, files), (theirs, their_files)) in self.0.iter().zip(&other.0) {
            assert_eq!(ours, theirs);
            let differing: Vec<_> = files.symmetric_difference(their_files).collect();
            assert!(differing.is_empty(), "{ours:?}: {differing:?}");
        }
    }

    fn of(info: &BuildInfo) -> Self {
        let unit = |unit: &build_info::Unit| {
            let value = |fact: &Option<build_info::Fact<String>>| {
                fact.as_ref().map_or(String::new(), |fact| fact.value.clone())
            };
            let paths = unit.files.iter().map(|one| info.files[one.file.0 as usize].path.clone());
            ((value(&unit.source), value(&unit.cwd)), paths.collect())
        };
        Self(info.units.iter().map(unit).collect())
    }
}

/// The sections with debug information, unpacked.
fn sections(bytes: &[u8]) -> BTreeMap<String, Cow<'_, [u8]>> {
    let header = FileHeader64::<Endianness>::parse(bytes).expect("a header");
    let endian = header.endian().expect("an endianness");
    let table = header.sections(endian, bytes).expect("sections");
    let mut named = BTreeMap::new();
    for section in table.iter() {
        let name = String::from_utf8_lossy(table.section_name(endian, section).expect("a name"));
        if !name.starts_with(".debug") {
            continue;
        }
        let contents = match section.compression(endian, bytes).expect("a section") {
            Some((packed, at, size)) => {
                let packed_bytes = bytes.read_bytes_at(at, size).expect("a section");
                let mut contents = Vec::with_capacity(packed.ch_size(endian) as usize);
                let mut stream = flate2::read::ZlibDecoder::new(packed_bytes);
                stream.read_to_end(&mut contents).expect("what can be unpacked");
                Cow::from(contents)
            }
            None => Cow::from(section.data(endian, bytes).expect("a section")),
        };
        named.insert(name.into_owned(), contents);
    }
    named
}

/// The debug file of libjvm, fetched where Debian's packages are.
fn debug_file() -> Option<PathBuf> {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("openjdk-17-dbg");
    if !kept.join("usr").is_dir() {
        std::fs::create_dir_all(&kept).ok()?;
        let run = |tool: &str, arguments: &[&str]| {
            let status = Command::new(tool).args(arguments).current_dir(&kept).status();
            status.is_ok_and(|status| status.success()).then_some(())
        };
        run("apt-get", &["download", "openjdk-17-dbg"])?;
        let package = std::fs::read_dir(&kept).ok()?.flatten().map(|entry| entry.path());
        let package =
            package.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"))?;
        run("dpkg", &["-x", package.to_str()?, "."])?;
        std::fs::remove_file(package).ok()?;
    }
    let mut largest = None;
    let mut directories = vec![kept];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).ok()?.flatten() {
            let about = entry.metadata().ok()?;
            if about.is_dir() {
                directories.push(entry.path());
            } else {
                largest = largest.max(Some((about.len(), entry.path())));
            }
        }
    }
    largest.map(|(_, path)| path)
}

const READERS: [&str; 2] = ["build-info", "gimli"];
