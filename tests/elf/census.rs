use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use elf_sections::{Kind, Reason, Source, Tag};
use goblin::elf::{program_header::pt_to_str, section_header::sht_to_str};
use reloader_tests::{tool, went_through};

use crate::workshop::printed;

/// Every ELF file below `/usr/lib` and of `/usr/bin`, in the order of their paths.
fn machine() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/bin")];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() && is_elf(&entry.path()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    assert!(found.len() > 100, "{}", found.len());
    found
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
        && magic == *b"\x7fELF"
}

/// What readelf prints of each of the files, a hundred at a time.
fn readelf(flags: &[&str], files: &[PathBuf], mut check: impl FnMut(&Path, &str)) {
    for files in files.chunks(100) {
        let output =
            Command::new("readelf").env("LC_ALL", "C").args(flags).args(files).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut parts: BTreeMap<&str, &str> = BTreeMap::new();
        for part in text.split("\nFile: ").skip(usize::from(files.len() > 1)) {
            let (path, part) =
                if files.len() > 1 { part.split_once('\n').unwrap() } else { ("", part) };
            parts.insert(path, part);
        }
        assert_eq!(parts.len(), files.len());
        for file in files {
            let name = if files.len() > 1 { file.to_str().unwrap() } else { "" };
            check(file, parts[name]);
        }
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// A section as readelf's wide table has it.
#[derive(Debug, PartialEq, Eq)]
struct SectionLine {
    kind: String,
    places: [u64; 4],
    flags: String,
    numbers: [u64; 3],
}

fn section_line(text: &str) -> SectionLine {
    // Names and the processors' own kinds may have spaces, so that fields count from the end.
    let fields: Vec<&str> = text.split_whitespace().collect();
    // Address, offset, size, entry size, flags (maybe none), link, info, alignment.
    let is_number = |field: &str, digits: usize| {
        field.len() >= digits && field.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let address = (0..fields.len().saturating_sub(6))
        .rev()
        .find(|&at| {
            is_number(fields[at], 8) && is_number(fields[at + 1], 6) && is_number(fields[at + 2], 6)
        })
        .unwrap_or_else(|| panic!("{text}"));
    let rest = &fields[address + 4..];
    let numbers = &rest[rest.len() - 3..];
    SectionLine {
        kind: fields[address - 1].to_owned(),
        places: [0, 1, 2, 3].map(|at| hex(fields[address + at])),
        flags: rest[..rest.len() - 3].concat(),
        numbers: [0, 1, 2].map(|at: usize| numbers[at].parse().unwrap()),
    }
}

/// The flags that readelf has letters for on every processor.
fn letters(flags: u64) -> String {
    let all = [
        (0x1, 'W'),
        (0x2, 'A'),
        (0x4, 'X'),
        (0x10, 'M'),
        (0x20, 'S'),
        (0x40, 'I'),
        (0x80, 'L'),
        (0x100, 'O'),
        (0x200, 'G'),
        (0x400, 'T'),
        (0x800, 'C'),
    ];
    all.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| *letter).collect()
}

#[test]
fn every_file_of_this_machine_has_the_headers_that_readelf_prints() {
    if tool("readelf").is_none() {
        return;
    }
    let files = machine();
    let (mut sections, mut segments, mut dynamics) = (0, 0, 0);
    readelf(&["-SlWd", "--section-details"], &files[..1], |_, text| assert!(!text.is_empty()));
    readelf(&["-SlWd"], &files, |path, text| {
        let source = Source::new(File::open(path).unwrap()).unwrap();
        let image = source.image().unwrap_or_else(|error| panic!("{}: {error}", path.display()));

        let lines: Vec<&str> = text
            .lines()
            .filter(|line| {
                let inside = line.trim_start().strip_prefix('[').and_then(|it| it.split_once(']'));
                inside.is_some_and(|(index, _)| index.trim().parse::<u32>().is_ok())
            })
            .collect();
        assert_eq!(lines.len(), image.sections().len(), "{}", path.display());
        for (line, section) in lines.iter().zip(image.sections()) {
            let (index, rest) = line.trim_start()[1..].split_once(']').unwrap();
            assert_eq!(index.trim().parse::<u32>().unwrap(), section.index);
            let name = String::from_utf8_lossy(section.name);
            let rest = rest.trim_start();
            // readelf shows what cannot be printed in another way.
            if name.bytes().all(|byte| byte.is_ascii_graphic()) {
                assert!(rest.starts_with(&*name), "{}: {line}", path.display());
            }
            let found = section_line(rest);
            let ours = [section.address, section.offset, section.size, section.entry_size];
            assert_eq!(found.places, ours, "{}: {line}", path.display());
            let ours = [u64::from(section.link), u64::from(section.info), section.align];
            assert_eq!(found.numbers, ours, "{}: {line}", path.display());
            let common: String =
                found.flags.chars().filter(|letter| "WAXMSILOGTC".contains(*letter)).collect();
            assert_eq!(common, letters(section.flags.0), "{}: {line}", path.display());
            let kind = sht_to_str(section.kind.0).trim_start_matches("SHT_").replace("GNU_", "");
            let known = ["PROGBITS", "NOBITS", "NULL", "SYMTAB", "STRTAB", "DYNSYM", "DYNAMIC"];
            if known.contains(&kind.as_str()) {
                assert_eq!(found.kind, kind, "{}: {line}", path.display());
            }
            sections += 1;
        }

        let start = text.find("Program Headers:\n").map_or(text.len(), |at| at + 17);
        let headers = text[start..].lines().skip(1).take_while(|line| !line.is_empty());
        let headers: Vec<Vec<&str>> = headers
            .filter(|line| !line.trim_start().starts_with('['))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(headers.len(), image.segments().len(), "{}", path.display());
        for (fields, segment) in headers.iter().zip(image.segments()) {
            let places: Vec<u64> = fields[1..6].iter().map(|it| hex(it)).collect();
            let [offset, address, _, file_size, memory_size] = places[..] else {
                panic!("{}: {fields:?}", path.display())
            };
            let align = hex(fields[fields.len() - 1]);
            assert_eq!((offset, address), (segment.offset, segment.address));
            assert_eq!((file_size, memory_size), (segment.file_size, segment.memory_size));
            assert_eq!(align, segment.align);
            let flags: String = fields[6..fields.len() - 1].concat();
            let permissions = segment.permissions;
            let ours = [
                (permissions.is_readable(), 'R'),
                (permissions.is_writable(), 'W'),
                (permissions.is_executable(), 'E'),
            ];
            let ours: String = ours.iter().filter(|it| it.0).map(|it| it.1).collect();
            assert_eq!(flags, ours, "{}: {fields:?}", path.display());
            let kind = pt_to_str(segment.kind.0).trim_start_matches("PT_");
            if !kind.starts_with("UNKNOWN") {
                let found = fields[0];
                assert!(found == kind || kind.contains("LO") || kind.contains("ARM"), "{found}");
            }
            segments += 1;
        }

        let entries = text.lines().filter(|line| line.starts_with(" 0x") && line.contains(" ("));
        let entries: Vec<u64> = entries
            .map(|line| hex(line.split_whitespace().next().unwrap()))
            .take_while(|tag| *tag != 0)
            .collect();
        // readelf prints 64-bit tags in full, and negative ones do not occur.
        let ours: Vec<u64> = image.dynamic().iter().map(|it| it.tag.0.cast_unsigned()).collect();
        if !text.contains("NOBITS") || !ours.is_empty() {
            assert_eq!(entries, ours, "{}", path.display());
        }
        for (tag, marker) in [
            (Tag::NEEDED, "Shared library: ["),
            (Tag::SONAME, "Library soname: ["),
            (Tag::RUNPATH, "Library runpath: ["),
            (Tag::RPATH, "Library rpath: ["),
        ] {
            let found: Vec<&str> = text
                .lines()
                .filter_map(|line| line.split_once(marker)?.1.strip_suffix(']'))
                .collect();
            let ours: Vec<String> = match tag {
                Tag::NEEDED => image.needed().map(lossy).collect(),
                Tag::SONAME => image.soname().map(lossy).into_iter().collect(),
                Tag::RUNPATH => image.runpath().map(lossy).into_iter().collect(),
                _ => image.rpath().map(lossy).into_iter().collect(),
            };
            assert_eq!(found, ours, "{}", path.display());
        }
        dynamics += entries.len();
        assert_eq!(source.failure(), None);
    });
    println!("{} files, {sections} sections, {segments} segments, {dynamics} entries", files.len());
    assert!(sections > 1000 && segments > 500 && dynamics > 1000);
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[test]
fn every_file_of_this_machine_has_the_notes_that_readelf_prints() {
    if tool("readelf").is_none() {
        return;
    }
    let files = machine();
    let mut build_ids = 0;
    readelf(&["-nW"], &files, |path, text| {
        let source = Source::new(File::open(path).unwrap()).unwrap();
        let image = source.image().unwrap();
        let found = text.lines().find_map(|line| line.split_once("Build ID: "));
        let ours = image.build_id().map(|id| id.iter().map(|it| format!("{it:02x}")).collect());
        assert_eq!(found.map(|it| it.1.to_owned()), ours, "{}", path.display());
        build_ids += usize::from(ours.is_some());
        // Owner, size and kind of each; an owner may have spaces, or be empty.
        let sizes: Vec<u64> = text
            .lines()
            .filter_map(|line| line.split('\t').next()?.split_whitespace().last())
            .filter(|field| field.len() == 10 && field.starts_with("0x"))
            .map(hex)
            .collect();
        // Linux's kernels and Go's own have notes that readelf takes apart in another way.
        if image.header().kind != Kind::Core && !text.contains("stapsdt") {
            let ours: Vec<u64> = image.notes().map(|it| it.descriptor.len() as u64).collect();
            let mut theirs = sizes.clone();
            let mut ours_sorted = ours.clone();
            theirs.sort_unstable();
            ours_sorted.sort_unstable();
            assert_eq!(ours_sorted, theirs, "{}\n{text}", path.display());
        }
        if let Some(at) = text.find("Properties: ") {
            assert!(image.properties().count() > 0, "{}: {}", path.display(), &text[at..at + 40]);
        }
    });
    println!("{} files, {build_ids} build IDs", files.len());
    assert!(build_ids > 100, "{build_ids}");
}

/// Symbols take readelf long where there are hundreds of thousands, so that of the large files
/// only some are compared; all with `ELF_CENSUS=all`.
#[test]
fn symbols_and_their_versions_are_those_that_readelf_prints() {
    if tool("readelf").is_none() {
        return;
    }
    let all = std::env::var("ELF_CENSUS").is_ok_and(|value| value == "all");
    let files: Vec<PathBuf> = machine()
        .into_iter()
        .enumerate()
        .filter(|(index, path)| {
            let size = std::fs::metadata(path).map_or(0, |it| it.len());
            all || (size < 400_000 && index % 10 == 0) || (size < 6 << 20 && index % 97 == 0)
        })
        .map(|(_, path)| path)
        .collect();
    let (mut symbols, mut versions) = (0, 0);
    readelf(&["-sW"], &files, |path, text| {
        let source = Source::new(File::open(path).unwrap()).unwrap();
        let image = source.image().unwrap();
        for (title, is_dynamic) in [("'.dynsym'", true), ("'.symtab'", false)] {
            let Some(at) = text.find(&format!("Symbol table {title}")) else { continue };
            let lines = text[at..].lines().skip(2).take_while(|line| !line.is_empty());
            let ours: Vec<elf_sections::Symbol<'_>> = if is_dynamic {
                image.dynamic_symbols().collect()
            } else {
                image.symbols().collect()
            };
            let versions_of = image.symbol_versions();
            let mut count = 0;
            for (line, symbol) in lines.zip(&ours) {
                // So it calls unique symbols of files that are for no system in particular.
                let line = line.replace("<OS specific>: 10", "UNIQUE");
                let fields: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(fields[0].trim_end_matches(':'), symbol.index.to_string());
                assert_eq!(hex(fields[1]), symbol.address, "{}: {line}", path.display());
                let size = match fields[2].strip_prefix("0x") {
                    Some(digits) => hex(digits),
                    None => fields[2].parse().unwrap(),
                };
                assert_eq!(size, symbol.size, "{}: {line}", path.display());
                let name = fields.get(7).copied().unwrap_or("");
                count += 1;
                if !is_dynamic || !symbol.name.is_ascii() || symbol.name.is_empty() {
                    continue;
                }
                let version = versions_of.of(symbol.index).map(|version| {
                    // A copy of a library's variable has the version that is wanted of it.
                    let is_own = symbol.is_defined() && version.library.is_none();
                    let is_default = is_own && !version.is_hidden;
                    format!("{}{}", if is_default { "@@" } else { "@" }, lossy(version.name))
                });
                let ours = lossy(symbol.name) + version.as_deref().unwrap_or("");
                // The definition of a version is shown without one, or with its own name.
                let is_version = symbol.section == elf_sections::SymbolSection::Absolute;
                assert!(name == ours || is_version, "{}: {line}: {ours}", path.display());
                versions += usize::from(version.is_some());
            }
            assert_eq!(count, ours.len(), "{} {title}", path.display());
            symbols += count;
        }
    });
    println!("{} files, {symbols} symbols, {versions} versions", files.len());
    assert!(symbols > 10_000 && versions > 1000, "{symbols} {versions}");
}

#[test]
fn elfutils_and_llvm_read_the_same_sections_of_some_files() {
    let files = machine();
    let mut count = 0;
    for path in files.iter().step_by(files.len() / 40) {
        let source = Source::new(File::open(path).unwrap()).unwrap();
        let image = source.image().unwrap();
        // [Nr] Name Type Addr Off Size ES Flags Lk Inf Al
        let Some(text) = printed("eu-readelf", &["-S"], path) else { return };
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with('[') && !line.contains("Nr"))
            .filter(|line| line[1..].trim_start().starts_with(|it: char| it.is_ascii_digit()))
            .collect();
        assert_eq!(lines.len(), image.sections().len(), "{}", path.display());
        for (line, section) in lines.iter().zip(image.sections()).skip(1) {
            let places =
                format!("{:016x} {:08x} {:08x}", section.address, section.offset, section.size);
            assert!(line.contains(&places), "{}: {line} {places}", path.display());
        }

        let program =
            if tool("llvm-readobj-19").is_some() { "llvm-readobj-19" } else { "llvm-readobj" };
        let Some(text) = printed(program, &["--sections", "--segments"], path) else { return };
        let values = |key: &str| -> Vec<u64> {
            text.lines()
                .filter_map(|line| line.trim().strip_prefix(key))
                .map(|value| value.split_whitespace().next().unwrap())
                .map(
                    |value| {
                        if value.starts_with("0x") { hex(value) } else { value.parse().unwrap() }
                    },
                )
                .collect()
        };
        let addresses: Vec<u64> = image.sections().iter().map(|it| it.address).collect();
        assert_eq!(values("Address: "), addresses, "{}", path.display());
        let sizes: Vec<u64> = image.sections().iter().map(|it| it.size).collect();
        assert_eq!(values("Size: "), sizes, "{}", path.display());
        let addresses: Vec<u64> = image.segments().iter().map(|it| it.address).collect();
        assert_eq!(values("VirtualAddress: "), addresses, "{}", path.display());
        let sizes: Vec<u64> = image.segments().iter().map(|it| it.memory_size).collect();
        assert_eq!(values("MemSize: "), sizes, "{}", path.display());
        count += 1;
    }
    went_through(count, 40, "files");
}

/// What holds of every image's variables, whoever made it.
#[test]
fn every_file_of_this_machine_has_its_variables_outside_of_what_is_excluded() {
    let (mut with_variables, mut copied) = (0, 0);
    let mut files = machine();
    let all = files.len();
    files.retain(|path| std::fs::metadata(path).is_ok_and(|it| it.len() <= 30 << 20));
    println!("{} of {all} files: the others are larger than 30 MiB", files.len());
    for path in files {
        let source = Source::new(File::open(&path).unwrap()).unwrap();
        let image = source.image().unwrap();
        let writable = image.writable();
        with_variables += usize::from(!writable.variables.is_empty());
        for range in &writable.variables {
            if let Some(relro) = image.relro_segment() {
                assert!(range.end <= relro.start || relro.end <= range.start, "{}", path.display());
            }
            // A section with a reason of its own is no variable's.
            let named = image.sections().iter().filter(|it| it.is_addressable() && it.size != 0);
            for section in named.filter(|it| image.exclusion_of(it).is_some()) {
                let section_range = section.range();
                let is_apart = section_range.end <= range.start || range.end <= section_range.start;
                assert!(is_apart, "{}: {}", path.display(), lossy(section.name));
            }
        }
        for excluded in &writable.excluded {
            copied += usize::from(excluded.reason == Reason::CopyRelocated);
        }
        // Every word that the loader writes is excluded.
        let loads: Vec<_> = image
            .segments()
            .iter()
            .filter(|it| it.is_load() && it.permissions.is_writable())
            .collect();
        for relocation in image.relocations().step_by(17) {
            let is_writable = loads.iter().any(|load| load.contains(relocation.address, 1));
            if is_writable && relocation.kind != 0 {
                assert!(!writable.contains(relocation.address), "{}", path.display());
            }
        }
    }
    assert!(with_variables > 100 && copied > 10, "{with_variables} {copied}");
}
