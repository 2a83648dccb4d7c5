use std::collections::HashMap;
use std::path::{Path, PathBuf};

use macho_sections::{Class, Container, Image, LibraryKind, SymbolKind};

use reloader_tests::went_through;

use crate::made::{Workshop, output};
use crate::samples::{samples, small_samples};

/// How many images there are, and how many in files that are not large.
const MANY: usize = 60;
const SMALL: usize = 56;

/// Samples, and what LLVM makes.
fn every_image(made: &Option<Workshop>) -> Vec<(PathBuf, Vec<u8>)> {
    made.iter().flat_map(Workshop::images).chain(samples()).collect()
}

#[test]
fn goblin_reads_the_same_of_every_image() {
    let made = Workshop::new();
    let mut count = 0;
    for (path, bytes) in every_image(&made) {
        for image in Container::parse(&bytes).unwrap().images() {
            let image = image.unwrap();
            assert_eq!(image.check_extent(), Ok(()), "{}", path.display());
            goblin_agrees(&image, &path);
            count += 1;
        }
    }
    went_through(count, MANY, "images");
}

fn goblin_agrees(ours: &Image<'_>, path: &Path) {
    let theirs = goblin::mach::MachO::parse(ours.data(), 0).unwrap();
    let (header, other) = (ours.header(), &theirs.header);
    assert_eq!((header.cpu.family, header.cpu.subtype), (other.cputype, other.cpusubtype));
    assert_eq!((header.kind.0, header.flags.0), (other.filetype, other.flags));
    assert_eq!(header.command_count as usize, other.ncmds);
    assert_eq!(header.commands_size, other.sizeofcmds);
    assert_eq!(theirs.is_64, header.class == Class::MachO64);
    assert_eq!(ours.commands().count(), theirs.load_commands.len());
    for (ours, theirs) in ours.commands().zip(&theirs.load_commands) {
        assert_eq!(ours.offset as usize, theirs.offset);
        assert_eq!(ours.kind.0, theirs.command.cmd());
        assert_eq!(ours.bytes.len(), theirs.command.cmdsize());
    }
    let mut sections = ours.sections().iter();
    assert_eq!(ours.segments().len(), theirs.segments.len());
    for (ours, theirs) in ours.segments().iter().zip(theirs.segments.iter()) {
        assert_eq!(String::from_utf8_lossy(ours.name), theirs.name().unwrap());
        assert_eq!((ours.address, ours.memory_size), (theirs.vmaddr, theirs.vmsize));
        assert_eq!((ours.offset, ours.file_size), (theirs.fileoff, theirs.filesize));
        assert_eq!((ours.permissions.0, ours.maximum.0), (theirs.initprot, theirs.maxprot));
        assert_eq!((ours.flags.0, ours.section_count), (theirs.flags, theirs.nsects));
        for (theirs, bytes) in theirs.sections().unwrap() {
            let ours = sections.next().unwrap();
            assert_eq!(String::from_utf8_lossy(ours.name), theirs.name().unwrap());
            assert_eq!(String::from_utf8_lossy(ours.segment_name), theirs.segname().unwrap());
            assert_eq!((ours.address, ours.size), (theirs.addr, theirs.size));
            assert_eq!((ours.offset, ours.align), (theirs.offset.into(), theirs.align));
            assert_eq!(ours.flags.0 | u32::from(ours.kind.0), theirs.flags);
            assert_eq!(ours.relocations, theirs.reloff);
            assert_eq!(ours.relocation_count, theirs.nreloc);
            // It takes the bytes behind the offset in debugging information, which has none there.
            if !ours.is_zero_fill() && !path.ends_with("arm64-debug") {
                assert!(bytes.len() as u64 == ours.size, "{}", path.display());
            }
        }
    }
    assert_eq!(sections.next(), None);

    let mut symbols = ours.symbols().unwrap();
    for theirs in theirs.symbols() {
        let (name, nlist) = theirs.unwrap();
        let ours = symbols.next().unwrap();
        assert_eq!(String::from_utf8_lossy(ours.name), name);
        assert_eq!((ours.address, ours.description), (nlist.n_value, nlist.n_desc));
        assert_eq!(matches!(ours.kind, SymbolKind::Note(..)), nlist.is_stab());
        if !nlist.is_stab() {
            assert_eq!(ours.is_external, nlist.is_global());
        }
    }
    assert_eq!(symbols.next(), None);
    // Its list starts with the image itself.
    let libraries: Vec<_> = ours.libraries().map(|it| String::from_utf8_lossy(it.name)).collect();
    assert_eq!(libraries, theirs.libs[1..]);
    let rpaths: Vec<_> = ours.rpaths().map(String::from_utf8_lossy).collect();
    assert_eq!(rpaths, theirs.rpaths);
    assert_eq!(ours.install_name().map(String::from_utf8_lossy).as_deref(), theirs.name);
}

/// Blocks of `key value` lines, as llvm-objdump prints a load command or a section.
type Block = HashMap<String, String>;

/// What `llvm-objdump --private-headers` says of each slice: its load commands, and its sections.
fn listing(text: &str) -> Vec<(Vec<Block>, Vec<Block>)> {
    let mut slices: Vec<(Vec<Block>, Vec<Block>)> = Vec::new();
    let mut is_section = false;
    for line in text.lines() {
        if line == "Mach header" {
            slices.push((Vec::new(), Vec::new()));
        }
        let Some((commands, sections)) = slices.last_mut() else { continue };
        if line.starts_with("Load command ") {
            commands.push(Block::new());
            is_section = false;
        } else if line == "Section" {
            sections.push(Block::new());
            is_section = true;
        } else if let Some((key, value)) = line.trim().split_once(' ') {
            let block = if is_section { sections.last_mut() } else { commands.last_mut() };
            if let Some(block) = block {
                block.entry(key.to_owned()).or_insert_with(|| value.trim().to_owned());
            }
        }
    }
    slices
}

fn number(block: &Block, key: &str) -> u64 {
    let text = block.get(key).unwrap_or_else(|| panic!("no {key} in {block:?}"));
    let text = text.split_whitespace().next().unwrap();
    let text = text.strip_prefix("2^").unwrap_or(text);
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

#[test]
fn llvm_objdump_reads_the_same_of_every_image() {
    let made = Workshop::new();
    let mut count = 0;
    for (path, bytes) in every_image(&made) {
        let arguments = ["--macho", "--arch=all", "--private-headers"];
        let Some(text) = output("llvm-objdump-19", &arguments, &path) else { return };
        let slices = listing(&text);
        let images: Vec<_> =
            Container::parse(&bytes).unwrap().images().map(Result::unwrap).collect();
        assert_eq!(slices.len(), images.len(), "{}", path.display());
        for (image, (commands, sections)) in images.iter().zip(&slices) {
            objdump_agrees(image, commands, sections);
            count += 1;
        }
    }
    went_through(count, MANY, "images");
}

fn objdump_agrees(image: &Image<'_>, commands: &[Block], sections: &[Block]) {
    assert_eq!(image.commands().count(), commands.len());
    let of = |names: &'static [&'static str]| {
        commands.iter().filter(move |it| names.contains(&it["cmd"].as_str()))
    };
    let segments: Vec<_> = of(&["LC_SEGMENT", "LC_SEGMENT_64"]).collect();
    assert_eq!(segments.len(), image.segments().len());
    for (ours, theirs) in image.segments().iter().zip(segments) {
        let name = theirs.get("segname").map_or("", String::as_str);
        assert_eq!(String::from_utf8_lossy(ours.name), name);
        assert_eq!(ours.address, number(theirs, "vmaddr"));
        assert_eq!(ours.memory_size, number(theirs, "vmsize"));
        assert_eq!(ours.offset, number(theirs, "fileoff"));
        assert_eq!(ours.file_size, number(theirs, "filesize"));
        let letters = [ours.permissions, ours.maximum].map(|it| {
            let letter = |is_set, letter| if is_set { letter } else { '-' };
            [
                letter(it.is_readable(), 'r'),
                letter(it.is_writable(), 'w'),
                letter(it.is_executable(), 'x'),
            ]
            .into_iter()
            .collect::<String>()
        });
        assert_eq!(letters, [theirs["initprot"].clone(), theirs["maxprot"].clone()]);
    }
    assert_eq!(sections.len(), image.sections().len());
    for (ours, theirs) in image.sections().iter().zip(sections) {
        assert_eq!(String::from_utf8_lossy(ours.name), theirs["sectname"]);
        assert_eq!(String::from_utf8_lossy(ours.segment_name), theirs["segname"]);
        assert_eq!(ours.address, number(theirs, "addr"));
        assert_eq!(ours.size, number(theirs, "size"));
        assert_eq!(ours.offset, number(theirs, "offset"));
        assert_eq!(u64::from(ours.align), number(theirs, "align"));
        assert_eq!(ours.is_zero_fill(), theirs["type"].ends_with("ZEROFILL"));
        let is_code = theirs.get("attributes").is_some_and(|it| it.contains("INSTRUCTIONS"));
        assert_eq!(ours.flags.has_instructions(), is_code);
    }

    let first = |name: &'static [&'static str]| of(name).next();
    let uuid = image.uuid().map(|it| it.iter().map(|byte| format!("{byte:02X}")).collect());
    let theirs = first(&["LC_UUID"]).map(|it| it["uuid"].replace('-', ""));
    assert_eq!(uuid, theirs);
    let without_offset =
        |it: &Block, key: &str| it[key].split(" (offset").next().unwrap().to_owned();
    let name = first(&["LC_ID_DYLIB"]).map(|it| without_offset(it, "name"));
    assert_eq!(image.install_name().map(|it| String::from_utf8_lossy(it).into_owned()), name);
    let rpaths: Vec<_> = of(&["LC_RPATH"]).map(|it| without_offset(it, "path")).collect();
    assert_eq!(image.rpaths().map(String::from_utf8_lossy).collect::<Vec<_>>(), rpaths);
    let needed = ["LC_LOAD_DYLIB", "LC_LOAD_WEAK_DYLIB", "LC_REEXPORT_DYLIB"];
    let loads = commands.iter().filter(|it| needed.contains(&it["cmd"].as_str()));
    let loads: Vec<_> = loads.map(|it| (without_offset(it, "name"), it["cmd"].clone())).collect();
    let ours: Vec<_> = image
        .libraries()
        .map(|it| {
            let kind = match it.kind {
                LibraryKind::Weak => "LC_LOAD_WEAK_DYLIB",
                LibraryKind::Reexported => "LC_REEXPORT_DYLIB",
                _ => "LC_LOAD_DYLIB",
            };
            (String::from_utf8_lossy(it.name).into_owned(), kind.to_owned())
        })
        .collect();
    assert_eq!(ours, loads);
    if let Some(build) = first(&["LC_BUILD_VERSION"]) {
        let ours = image.build_version().unwrap();
        assert_eq!(ours.platform.to_string().to_lowercase(), build["platform"]);
        assert_eq!(ours.minimum.to_string(), build["minos"]);
        let sdk = if ours.sdk.0 == 0 { "n/a".to_owned() } else { ours.sdk.to_string() };
        assert_eq!(sdk, build["sdk"]);
        assert_eq!(ours.tools.len() as u64, number(build, "ntools"));
    }
    if let Some(minimum) = first(&["LC_VERSION_MIN_MACOSX", "LC_VERSION_MIN_IPHONEOS"]) {
        assert_eq!(image.build_version().unwrap().minimum.to_string(), minimum["version"]);
    }
}

#[test]
fn llvm_readobj_reads_the_same_types_and_attributes() {
    let made = Workshop::new();
    let mut count = 0;
    for (path, bytes) in made.iter().flat_map(Workshop::images).chain(small_samples()) {
        let Some(text) = output("llvm-readobj-19", &["--sections"], &path) else { return };
        let mut theirs = Vec::new();
        for line in text.lines().map(str::trim) {
            let value = |start: &str| {
                let rest = line.strip_prefix(start)?.split("(0x").nth(1)?;
                u32::from_str_radix(rest.trim_end_matches(')'), 16).ok()
            };
            if let Some(kind) = value("Type: ") {
                theirs.push((kind, 0));
            } else if let Some((_, flags)) = value("Attributes [ ")
                .and_then(|flags| theirs.last_mut().map(|last| (last.1 = flags, flags)))
            {
                // It prints them without the eight bits of the type.
                assert!(flags < 1 << 24);
            }
        }
        let images = Container::parse(&bytes).unwrap();
        let images: Vec<_> = images.images().map(Result::unwrap).collect();
        let sections = images.iter().flat_map(Image::sections);
        let ours: Vec<_> = sections.map(|it| (u32::from(it.kind.0), it.flags.0 >> 8)).collect();
        assert_eq!(ours, theirs, "{}", path.display());
        count += images.len();
    }
    went_through(count, SMALL, "images");
}
