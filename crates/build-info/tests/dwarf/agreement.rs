//! The same table as gimli's ordinary interface gives, field by field, and as other programs print.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use build_info::{BuildInfo, Questions};
use gimli::{AttributeValue, EndianSlice, RunTimeEndian};
use object::elf::{FileHeader32, FileHeader64, SHF_ALLOC, SHF_EXECINSTR};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, ReadRef};

use crate::workshop::{Workshop, read};

/// What gimli says of a unit.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    comp_dir: String,
    producer: String,
    files: BTreeSet<String>,
    md5: BTreeSet<[u8; 16]>,
    ranges: Vec<(u64, u64)>,
}

/// The names, contents and places of sections; which of them have code.
struct Sections<'a> {
    named: Vec<(String, &'a [u8])>,
    code: Vec<(u64, u64)>,
}

impl<'a> Sections<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        if bytes[4] == 2 {
            Self::of_class::<FileHeader64<Endianness>>(bytes)
        } else {
            Self::of_class::<FileHeader32<Endianness>>(bytes)
        }
    }

    fn of_class<Elf: FileHeader<Endian = Endianness>>(bytes: &'a [u8]) -> Self {
        let header = Elf::parse(bytes).expect("a header");
        let endian = header.endian().expect("an endianness");
        let table = header.sections(endian, bytes).expect("sections");
        let (mut named, mut code) = (Vec::new(), Vec::new());
        for section in table.iter() {
            let name = table.section_name(endian, section).expect("a name");
            let name = String::from_utf8_lossy(name).into_owned();
            if let Some((at, size)) = section.file_range(endian) {
                named.push((name, bytes.read_bytes_at(at, size).expect("contents")));
            }
            let wanted = SHF_ALLOC.0 | SHF_EXECINSTR.0;
            if section.sh_flags(endian).0 & wanted == wanted {
                let begin: u64 = section.sh_addr(endian).into();
                code.push((begin, begin + section.sh_size(endian).into()));
            }
        }
        Self { named, code }
    }
}

/// The table that gimli's ordinary interface gives.
fn table(bytes: &[u8]) -> Vec<Row> {
    let sections = Sections::of(bytes);
    let endian = if bytes[5] == 2 { RunTimeEndian::Big } else { RunTimeEndian::Little };
    let contents = |id: gimli::SectionId| {
        let found = sections.named.iter().find(|(name, _)| name == id.name());
        let bytes = found.map_or(&[][..], |(_, bytes)| bytes);
        Ok::<_, gimli::Error>(EndianSlice::new(bytes, endian))
    };
    let dwarf = gimli::Dwarf::load(contents).expect("debug information");
    let mut rows = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().expect("a unit") {
        let unit = dwarf.unit(header).expect("a unit");
        let mut entries = unit.entries();
        let root = entries.next_dfs().expect("a root").expect("a root").clone();
        if root.tag() != gimli::DW_TAG_compile_unit {
            continue;
        }
        let text = |value: AttributeValue<_>| -> String {
            let text = dwarf.attr_string(&unit, value).expect("a text");
            text.to_string_lossy().into_owned()
        };
        let attribute = |name| root.attr_value(name).map_or(String::new(), text);
        let comp_dir = attribute(gimli::DW_AT_comp_dir);
        let (mut files, mut md5) = (BTreeSet::new(), BTreeSet::new());
        if let Some(program) = &unit.line_program {
            let header = program.header();
            for file in header.file_names() {
                // The first is the directory of compilation, which may be relative itself.
                let directory = match file.directory_index() {
                    0 => String::new(),
                    _ => file.directory(header).map(text).unwrap_or_default(),
                };
                let path = join(&comp_dir, &join(&directory, &text(file.path_name())));
                if !path.ends_with('>') {
                    files.insert(path.split("/@/").next().expect("a part").to_owned());
                }
                if header.file_has_md5() {
                    md5.insert(*file.md5());
                }
            }
        }
        let name = attribute(gimli::DW_AT_name);
        files.insert(join(&comp_dir, name.split("/@/").next().expect("a part")));
        let mut ranges = Vec::new();
        let mut all = dwarf.unit_ranges(&unit).expect("ranges");
        while let Some(range) = all.next().expect("a range") {
            let inside = |&&(begin, end): &&(u64, u64)| begin <= range.begin && range.end <= end;
            if range.begin < range.end && sections.code.iter().any(|code| inside(&code)) {
                ranges.push((range.begin, range.end));
            }
        }
        let producer = attribute(gimli::DW_AT_producer);
        rows.push(Row { name, comp_dir, producer, files, md5, ranges });
    }
    rows
}

fn join(directory: &str, name: &str) -> String {
    if name.starts_with('/') || directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

/// Compares field by field.
#[track_caller]
fn compare(info: &BuildInfo, rows: &[Row]) {
    assert_eq!(info.remarks, [""; 0]);
    assert_eq!(info.units.len(), rows.len());
    for (number, (unit, row)) in info.units.iter().zip(rows).enumerate() {
        let value = |fact: &Option<build_info::Fact<String>>| {
            fact.as_ref().map_or(String::new(), |fact| fact.value.clone())
        };
        let name = match unit.module.as_str() {
            "" => value(&unit.source),
            module => format!("{}/@/{module}", value(&unit.source)),
        };
        assert_eq!(name, row.name);
        assert_eq!(value(&unit.cwd), row.comp_dir);
        assert_eq!(unit.producer.as_deref().unwrap_or_default(), row.producer);
        let uses = unit.files.iter();
        let files: BTreeSet<String> =
            uses.clone().map(|one| info.files[one.file.0 as usize].path.clone()).collect();
        assert_eq!(files, row.files);
        assert_eq!(files.len(), unit.files.len(), "each file once");
        let md5: BTreeSet<[u8; 16]> = uses
            .filter_map(|one| one.checksum)
            .map(|number| info.checksums[number as usize].bytes().try_into().expect("16 bytes"))
            .collect();
        assert_eq!(md5, row.md5);
        for &(begin, end) in &row.ranges {
            for address in [begin, end - 1] {
                let owners = info.owners(address);
                let is = |one: &build_info::Contribution| one.unit.0 as usize == number;
                assert!(owners.contributions.iter().any(is), "{address:#x} of {name}");
            }
        }
        if row.ranges.is_empty() {
            assert_eq!(unit.size, 0);
        }
    }
    // Nothing is claimed that gimli has no range for.
    for one in &info.contributions {
        let ranges = &rows[one.unit.0 as usize].ranges;
        let (begin, end) = (one.address, one.address + u64::from(one.size));
        let covered: u64 = ranges
            .iter()
            .map(|range| end.min(range.1).saturating_sub(begin.max(range.0)))
            .max()
            .unwrap_or(0);
        assert!(covered > 0, "{one:?}");
    }
    for (number, file) in info.files.iter().enumerate() {
        for unit in &file.units {
            let uses = &info.units[unit.0 as usize].files;
            assert!(uses.iter().any(|one| one.file.0 as usize == number));
        }
    }
}

fn agrees(image: &Path) -> BuildInfo {
    let info = read(image);
    compare(&info, &table(&std::fs::read(image).expect("an image")));
    info
}

#[test]
fn every_version_of_dwarf_by_every_compiler_gives_gimlis_table() {
    let workshop = Workshop::new();
    for compiler in ["g++", "clang++-14", "clang++-19"] {
        for options in [
            "-gdwarf-2 -gstrict-dwarf",
            "-gdwarf-3 -gstrict-dwarf",
            "-gdwarf-4",
            "-gdwarf-5",
            "-g -gdwarf64",
            "-g -m32",
            "-g -O2 -ffunction-sections",
            "-g -O1 -fdebug-types-section",
            "-gdwarf-4 -O1 -fdebug-types-section",
            "-g3",
            "-g1",
        ] {
            // There need not be a library of C++ for the other size of addresses.
            let link = if options.contains("-m32") { "-m32 -nostdlib -Wl,-e,main" } else { "" };
            // It lets offsets of the one width meet a linker's idea of the other.
            if options.contains("gdwarf64") && compiler == "clang++-14" {
                continue;
            }
            let Some(image) = workshop.build(compiler, options, link) else { continue };
            let info = agrees(&image);
            assert_eq!(info.units.len(), 3, "{compiler} {options}");
        }
    }
}

#[test]
fn a_directory_of_compilation_may_be_relative() {
    let workshop = Workshop::new();
    let options = format!("-g -fdebug-prefix-map={}=moved/away", workshop.path().display());
    for compiler in ["g++", "clang++-14"] {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let options = format!("{options} {version}");
            let Some(image) = workshop.build(compiler, &options, "") else { continue };
            let info = agrees(&image);
            let first = &info.files[info.units[0].files[0].file.0 as usize];
            assert_eq!(first.path, "moved/away/main.cc", "{compiler} {version}");
        }
    }
}

#[test]
fn every_linker_leaves_the_same_table() {
    let workshop = Workshop::new();
    for linker in ["bfd", "gold", "lld", "mold"] {
        for compiler in ["g++", "clang++-14"] {
            let link = format!("-fuse-ld={linker} -Wl,--gc-sections");
            let Some(image) = workshop.build(compiler, "-g -O1 -ffunction-sections -fPIC", &link)
            else {
                continue;
            };
            let info = agrees(&image);
            let producer = info.linker.and_then(|linker| linker.producer);
            match linker {
                "lld" => assert!(producer.expect("a trace").contains("LLD")),
                "mold" => assert!(producer.expect("a trace").starts_with("mold ")),
                _ => assert_eq!(producer, None),
            }
        }
    }
}

#[test]
fn rustc_gives_gimlis_table_and_codegen_units_have_names() {
    let workshop = Workshop::new();
    workshop.write("program.rs", "mod part; fn main() { println!(\"{}\", part::twice(2)); }");
    workshop.write("part.rs", "pub fn twice(x: i32) -> i32 { x * 2 }");
    if workshop.run("rustc -g -C codegen-units=2 program.rs -o image").is_none() {
        return;
    }
    let image = workshop.at("image");
    let info = agrees(&image);
    let own: Vec<_> = info
        .units
        .iter()
        .filter(|unit| unit.source.as_ref().is_some_and(|one| one.value == "program.rs"))
        .collect();
    assert!(!own.is_empty());
    for unit in own {
        assert!(unit.module.starts_with("program."), "{}", unit.module);
        assert_eq!(unit.language.as_deref(), Some("Rust"));
        assert!(unit.front_end.is_some_and(|version| version.0[0] == 1));
    }
    assert!(info.files.iter().any(|file| file.path.ends_with("/part.rs")));
}

#[test]
fn another_machine_and_the_other_byte_order_are_read() {
    let workshop = Workshop::new();
    if let Some(image) = workshop.build("aarch64-linux-gnu-g++", "-g", "") {
        let info = agrees(&image);
        assert!(info.units.iter().all(|unit| unit.target.as_deref() == Some("aarch64")));
    }
    // Without a linker for it, the object is taken for what it describes: its debug information has
    // no relocations, as clang resolves what lies in one section of the same object only there.
    let compiled = workshop
        .run("clang-19 -target s390x-linux-gnu -gdwarf-5 -gsplit-dwarf -c plain.c -o big.o");
    if compiled.is_some() {
        let info = read(&workshop.at("big.dwo"));
        assert_eq!(info.units.len(), 0, "a split unit is nobody's without its skeleton");
    }
}

#[test]
fn compressed_sections_say_what_plain_ones_do() {
    let workshop = Workshop::new();
    let Some(plain) = workshop.build("g++", "-g -O1", "") else { return };
    let wanted = agrees(&plain);
    for (kind, tool) in [
        ("zlib", "objcopy --compress-debug-sections=zlib"),
        ("zlib-gnu", "objcopy --compress-debug-sections=zlib-gnu"),
        ("zstd", "llvm-objcopy-19 --compress-debug-sections=zstd"),
    ] {
        if workshop.run(&format!("{tool} image {kind}")).is_none() {
            continue;
        }
        let packed = workshop.at(kind);
        assert_eq!(read(&packed), wanted, "{kind}");
        // The line tables alone name the same units and files, where nothing else is asked for.
        let alone = build_info::open(&packed, &Questions::FILES).expect("an image");
        let whole = build_info::open(&plain, &Questions::FILES).expect("an image");
        let facts = |info: &BuildInfo| -> Vec<_> {
            let paths = |unit: &build_info::Unit| -> BTreeSet<String> {
                let uses = unit.files.iter();
                uses.map(|one| info.files[one.file.0 as usize].path.clone()).collect()
            };
            let units = info.units.iter();
            units.map(|unit| (unit.source.clone(), unit.cwd.clone(), paths(unit))).collect()
        };
        assert_eq!(facts(&alone), facts(&whole), "{kind}");
        assert!(alone.units.iter().all(|unit| unit.producer.is_none()), "read from {kind} lines");
    }
}

#[test]
fn machines_of_the_other_byte_order_give_gimlis_table_and_have_owners() {
    let workshop = Workshop::new();
    workshop
        .write("start.c", "#include \"add.h\"\nint _start(int x) { return add(x) + other(x); }\n");
    workshop.write("other.c", "#include \"add.h\"\nint other(int x) { return add(x) * 2; }\n");
    let header = "static inline __attribute__((noinline)) int add(int x) { return x + 3; }\n";
    workshop.write("add.h", &format!("int other(int);\n{header}"));
    for target in
        ["s390x-linux-gnu", "mips-linux-gnu", "mips64-linux-gnuabi64", "powerpc64-linux-gnu"]
    {
        for options in ["-gdwarf-5", "-gdwarf-4", "-gdwarf-3", "-gdwarf-2", "-g -fdebug-macro"] {
            let compile = format!("clang-19 --target={target} -O1 {options} -c");
            if workshop.run(&format!("{compile} start.c other.c")).is_none()
                || workshop.run("ld.lld-19 -e _start start.o other.o -o image").is_none()
            {
                return;
            }
            let image = workshop.at("image");
            let bytes = std::fs::read(&image).expect("an image");
            assert_eq!(bytes[5], 2, "the most significant byte comes first");
            let info = agrees(&image);
            let told = format!("{target} {options}");
            for (number, name) in ["start.c", "other.c"].iter().enumerate() {
                assert_eq!(info.units[number].name(), *name, "{told}");
                assert!(info.units[number].size > 0, "{told}");
            }
            let sources = workshop.run("llvm-dwarfdump-19 --show-sources image");
            let Some(sources) = sources.filter(|_| !options.contains("macro")) else { continue };
            let theirs: BTreeSet<&str> = sources.lines().collect();
            let ours: BTreeSet<&str> = info.files.iter().map(|file| &*file.path).collect();
            assert_eq!(ours, theirs, "{told}");
            // There symbols lead to descriptors of functions.
            if !target.starts_with("powerpc64") {
                let [other] = build_info::elf::symbol(&bytes, "other").expect("symbols")[..] else {
                    panic!("{told}")
                };
                let owner = info.owners(other).owner().expect("an owner").unit;
                assert_eq!(owner.0, 1, "{told}");
            }
        }
    }
}

#[test]
fn llvm_and_binutils_print_the_same() {
    let workshop = Workshop::new();
    for compiler in ["g++", "clang++-19"] {
        let Some(image) = workshop.build(compiler, "-g -O1", "") else { continue };
        let info = read(&image);
        let normal = |path: &str| path.replace("/./", "/");
        let ours: BTreeSet<String> = info.files.iter().map(|file| normal(&file.path)).collect();
        if let Some(sources) = workshop.run("llvm-dwarfdump-19 --show-sources image") {
            let theirs: BTreeSet<String> = sources.lines().map(normal).collect();
            assert_eq!(ours, theirs, "{compiler}");
        }
        let Some(dump) = workshop.run("readelf --debug-dump=info --dwarf-depth=1 image") else {
            continue;
        };
        let values = |name: &str| -> Vec<Cow<'_, str>> {
            let lines = dump.lines().filter(|line| line.contains(name));
            lines.map(|line| line.rsplit("): ").next().expect("a value").trim().into()).collect()
        };
        // "…: (indirect line string, offset: 0x0): main.cc".
        let fact = |fact: &Option<build_info::Fact<String>>| {
            Cow::from(fact.as_ref().expect("a fact").value.clone())
        };
        let units = || info.units.iter();
        let producers: Vec<Cow<'_, str>> =
            units().map(|unit| unit.producer.clone().expect("a producer").into()).collect();
        let is_indexed = compiler != "g++";
        if !is_indexed {
            assert_eq!(values("DW_AT_name"), units().map(|u| fact(&u.source)).collect::<Vec<_>>());
            assert_eq!(values("DW_AT_comp_dir"), units().map(|u| fact(&u.cwd)).collect::<Vec<_>>());
            assert_eq!(values("DW_AT_producer"), producers);
        }
        assert_eq!(dump.matches("DW_TAG_compile_unit").count(), info.units.len());
    }
}
