use std::ffi::OsStr;

use elf_sections::{Expected, Image, SectionKind, SegmentKind, Verdict, verdict};
use goblin::elf::Elf;

use crate::support::{self, Workshop, guests};

#[test]
fn goblin_reads_the_same_from_every_compiler_linker_and_layout() {
    let workshop = Workshop::new();
    for flags in [
        &["-g"][..],
        &["-s"],
        &["-Wl,-z,norelro"],
        &["-Wl,-z,now"],
        &["-Wl,--hash-style=sysv"],
        &["-Wl,--hash-style=gnu"],
        &["-Wl,-z,nodelete"],
    ] {
        let guests = guests(&workshop, flags);
        for (name, bytes) in &guests {
            agrees_with_goblin(name, bytes);
            let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
            let verdict = verdict(bytes, &expected);
            if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
                assert_eq!(verdict.reason(), None, "{name}");
            }
        }
    }
}

#[test]
fn goblin_reads_the_same_from_images_of_other_processors() {
    let fixtures = support::regressions();
    let good = fixtures.iter().filter(|(name, _)| name.starts_with("good-"));
    assert!(good.clone().count() >= 8);
    for (name, bytes) in good {
        agrees_with_goblin(name, bytes);
        let image = Image::parse(bytes).unwrap();
        let expected = Expected { entry: Some("cr_main"), ..Expected::like(image.header()) };
        assert_eq!(verdict(bytes, &expected).reason(), None, "{name}");
    }
}

#[test]
fn goblin_reads_the_same_from_cross_compiled_guests() {
    let workshop = Workshop::new();
    let mut count = 0;
    for command in [
        &["gcc", "-m32"][..],
        &["gcc", "-m32", "-fuse-ld=gold", "-Wl,--hash-style=gnu"],
        &["aarch64-linux-gnu-gcc"],
        &["clang", "--target=riscv64-linux-gnu", "-fuse-ld=lld"],
    ] {
        // Without the thread-local variables, which need a library on some processors.
        let command: Vec<&str> = command.iter().copied().chain(["-D__thread="]).collect();
        let Some(bytes) = workshop.guest("cross.so", &command) else { continue };
        let name = command.join(" ");
        agrees_with_goblin(&name, &bytes);
        let image = Image::parse(&bytes).unwrap();
        let expected = Expected { entry: Some("cr_main"), ..Expected::like(image.header()) };
        assert_eq!(verdict(&bytes, &expected).reason(), None, "{name}");
        let slots = image.imports("imported");
        let are_in_got = slots.iter().all(|&slot| {
            image.section_at(slot).is_some_and(|section| section.name.starts_with(b".got"))
        });
        assert!(!slots.is_empty() && are_in_got, "{name}: {slots:x?}");
        // clang runs the constructor while it compiles.
        let constructors = u64::from(name.contains("gcc"));
        assert_eq!(
            image.initializers().array.map_or(0, |it| it.end - it.start),
            constructors * image.header().class.word_size(),
            "{name}"
        );
        count += 1;
    }
    support::went_through(count, 4, "guests");
}

#[test]
fn goblin_reads_the_same_from_this_program() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    match Image::parse(&bytes) {
        Ok(_) => agrees_with_goblin("the test itself", &bytes),
        Err(_) => support::skipped("ELF program to test"),
    }
}

fn agrees_with_goblin(name: &str, bytes: &[u8]) {
    let image = Image::parse(bytes).unwrap();
    let other = Elf::parse(bytes).unwrap();

    assert_eq!(image.segments().len(), other.program_headers.len(), "{name}");
    for (ours, theirs) in image.segments().iter().zip(&other.program_headers) {
        assert_eq!(ours.kind.0, theirs.p_type);
        assert_eq!(ours.permissions.0, theirs.p_flags);
        assert_eq!((ours.offset, ours.address), (theirs.p_offset, theirs.p_vaddr));
        assert_eq!((ours.file_size, ours.memory_size), (theirs.p_filesz, theirs.p_memsz));
        assert_eq!(ours.align, theirs.p_align);
    }
    assert_eq!(image.sections().len(), other.section_headers.len(), "{name}");
    for (ours, theirs) in image.sections().iter().zip(&other.section_headers) {
        assert_eq!(ours.name, other.shdr_strtab.get_at(theirs.sh_name).unwrap().as_bytes());
        assert_eq!((ours.kind.0, ours.flags.0), (theirs.sh_type, theirs.sh_flags));
        assert_eq!((ours.address, ours.size), (theirs.sh_addr, theirs.sh_size));
        assert_eq!((ours.offset, ours.align), (theirs.sh_offset, theirs.sh_addralign));
        assert_eq!((ours.link, ours.info), (theirs.sh_link, theirs.sh_info));
    }
    let ours: Vec<_> = image.symbols().map(|it| (it.address, it.size, it.name)).collect();
    let theirs: Vec<_> = other
        .syms
        .iter()
        .map(|it| {
            (it.st_value, it.st_size, other.strtab.get_at(it.st_name).unwrap_or("").as_bytes())
        })
        .collect();
    assert_eq!(ours, theirs, "{name}");

    let ours: Vec<_> = image.dynamic_symbols().map(|it| (it.address, it.size, it.name)).collect();
    let theirs: Vec<_> = other
        .dynsyms
        .iter()
        .map(|it| {
            (it.st_value, it.st_size, other.dynstrtab.get_at(it.st_name).unwrap_or("").as_bytes())
        })
        .collect();
    assert_eq!(ours, theirs, "{name}");
    for symbol in image.dynamic_symbols().filter(|it| it.is_defined() && !it.name.is_empty()) {
        let found = image.exported(std::str::from_utf8(symbol.name).unwrap());
        assert_eq!(found.map(|it| it.index), Some(symbol.index), "{name}");
    }

    let needed: Vec<&[u8]> = image.needed().collect();
    let theirs: Vec<&[u8]> = other.libraries.iter().map(|it| it.as_bytes()).collect();
    assert_eq!(needed, theirs, "{name}");
    assert_eq!(image.soname(), other.soname.map(str::as_bytes), "{name}");

    // goblin does not know packed relocations, and takes the processor's own order for MIPS.
    if image.header().machine != elf_sections::Machine::MIPS
        && image.dynamic_value(elf_sections::Tag::RELR).is_none()
    {
        let ours: Vec<_> = image
            .relocations()
            .map(|it| (it.address, it.kind, it.symbol as usize, it.addend))
            .collect();
        let tables = [&other.dynrelas, &other.dynrels, &other.pltrelocs];
        let theirs: Vec<_> = tables
            .iter()
            .flat_map(|table| table.iter())
            .map(|it| (it.r_offset, it.r_type, it.r_sym, it.r_addend))
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn readelf_names_the_same_sections_and_build_id() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &["-g"]) {
        let path = workshop.write("image.so", &bytes);
        let Some(text) = support::output("readelf", &[OsStr::new("-SnW"), path.as_os_str()]) else {
            return;
        };
        let image = Image::parse(&bytes).unwrap();
        let build_id: String =
            image.build_id().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(text.contains(&format!("Build ID: {build_id}")), "{name}: {text}");
        for section in image.sections().iter().filter(|it| it.kind != SectionKind::NULL) {
            let line =
                format!("{:016x} {:06x} {:06x}", section.address, section.offset, section.size);
            let section_name = String::from_utf8_lossy(section.name);
            assert!(
                text.lines().any(|it| it.contains(&*section_name) && it.contains(&line)),
                "{name}: {section_name} {line}\n{text}"
            );
        }
    }
}

#[test]
fn sections_of_one_name_are_all_found() {
    let workshop = Workshop::new();
    let zeros = "asm(\".section .state,\\\"aw\\\",@nobits\\n.zero 64\\n.text\");";
    let Some(first) = workshop.compile("zeros.o", zeros, &["gcc", "-c"]) else { return };
    let first = first.to_str().unwrap();
    let command = ["gcc", "-fuse-ld=bfd", "-r", "-nostdlib", first];
    let source = "__attribute__((section(\".state\"))) int counter = 3;";
    let Some(path) = workshop.compile("both.o", source, &command) else { return };
    let bytes = std::fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let found: Vec<SectionKind> = image.sections_named(".state").map(|it| it.kind).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&SectionKind::NOBITS) && found.contains(&SectionKind::PROGBITS));
}

#[test]
fn without_section_headers_all_that_the_loader_knows_is_still_found() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &["-Wl,--hash-style=gnu"]) {
        let whole = Image::parse(&bytes).unwrap();
        let mut stripped = bytes.clone();
        stripped[0x28..0x30].fill(0); // e_shoff
        stripped[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
        let image = Image::parse(&stripped).unwrap();
        assert!(image.sections().is_empty() && image.symbols().count() == 0);
        let names = |image: &Image<'_>| -> Vec<Vec<u8>> {
            image.dynamic_symbols().map(|symbol| symbol.name.to_vec()).collect()
        };
        assert_eq!(names(&image), names(&whole), "{name}");
        assert_eq!(image.build_id(), whole.build_id());
        assert_eq!(image.relro(), whole.relro());
        assert!(image.relocations().eq(whole.relocations()));
        let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
        assert!(matches!(verdict(&stripped, &expected), Verdict::Complete(_)), "{name}");
    }
}

#[test]
fn a_tool_that_cuts_the_section_headers_off_leaves_a_complete_image() {
    let workshop = Workshop::new();
    let Some(bytes) = workshop.guest("whole.so", &["gcc"]) else { return };
    let (whole, cut) = (workshop.path("whole.so"), workshop.path("cut.so"));
    let strip = OsStr::new("--strip-sections");
    if support::output("llvm-objcopy", &[strip, whole.as_os_str(), cut.as_os_str()]).is_none() {
        return;
    }
    let cut = std::fs::read(cut).unwrap();
    assert!(cut.len() < bytes.len());
    let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
    let image = verdict(&cut, &expected).complete().unwrap();
    assert!(image.sections().is_empty());
    assert!(verdict(&cut[..cut.len() - 1], &expected).reason().unwrap().is_incomplete());
}

#[test]
fn packed_relocations_stand_for_the_same_words() {
    let workshop = Workshop::new();
    // Runs of pointers with gaps: one is longer than a bitmap reaches.
    let source = "int x; int *a[200] = { [0 ... 150] = &x, [199] = &x }; int *b = &x;
                  struct { long n; int *p; } c[40] = { [0 ... 39] = { 1, &x } };
                  int cr_main(void *p, int op) { return *a[op] + *b + *c[op].p; }";
    let command =
        |relr| ["clang", "-fuse-ld=lld", "-shared", "-fPIC", "-nostdlib", "-Wl,-Bsymbolic", relr];
    let packed = command("-Wl,--pack-dyn-relocs=relr");
    let Some(packed) = workshop.compile("packed.so", source, &packed) else { return };
    let plain = command("-Wl,--pack-dyn-relocs=none");
    let Some(plain) = workshop.compile("plain.so", source, &plain) else { return };
    let (packed, plain) = (std::fs::read(packed).unwrap(), std::fs::read(plain).unwrap());
    let (packed, plain) = (Image::parse(&packed).unwrap(), Image::parse(&plain).unwrap());
    assert!(packed.dynamic_value(elf_sections::Tag::RELR).is_some());
    // The layouts differ by what the tables take, so words are compared by their section.
    let words = |image: &Image<'_>| -> Vec<(Vec<u8>, u64, u32)> {
        let mut words: Vec<_> = image
            .relocations()
            .map(|it| {
                let section = image.section_at(it.address).unwrap();
                (section.name.to_vec(), it.address - section.address, it.kind)
            })
            .collect();
        words.sort();
        words
    };
    assert!(words(&packed).len() > 190);
    assert_eq!(words(&packed), words(&plain));
    assert_eq!(verdict(packed.data(), &Expected::like(packed.header())).reason(), None);
}

#[test]
fn thread_local_zeros_are_at_no_address() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &[]) {
        let image = Image::parse(&bytes).unwrap();
        let tbss = image.sections_named(".tbss").next().unwrap();
        assert!(!tbss.is_addressable() && tbss.size >= 4000, "{name}");
        for section in image.sections().iter().filter(|it| it.is_addressable() && it.size != 0) {
            let found = image.section_at(section.address).unwrap();
            assert_eq!(found.name, section.name, "{name}");
        }
        assert_eq!(image.tls().unwrap().kind, SegmentKind::TLS);
    }
}

#[test]
fn local_symbols_know_their_source_file() {
    let workshop = Workshop::new();
    let Some(bytes) = workshop.guest("files.so", &["gcc"]) else { return };
    let image = Image::parse(&bytes).unwrap();
    let constructed = image.symbols().find(|it| it.name == b"constructed").unwrap();
    assert_eq!(constructed.file, Some(&b"files.so.c"[..]));
    let counter = image.symbols().find(|it| it.name == b"counter").unwrap();
    assert_eq!(counter.file, None);
}

#[test]
fn seventy_thousand_sections_are_counted_by_section_zero() {
    let workshop = Workshop::new();
    let source = "asm(\".altmacro\\n.macro one n\\n.section .s\\\\n,\\\"a\\\"\\n.globl v\\\\n\\nv\\\\n:\\n.byte 1\\n.endm\\n\
                  .set i,0\\n.rept 70000\\n one %i\\n.set i,i+1\\n.endr\\n.text\");";
    let Some(path) = workshop.compile("many.o", source, &["gcc", "-c"]) else { return };
    let bytes = std::fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    assert!(image.sections().len() > 70_000);
    assert_eq!(image.header().section_header_count, image.sections().len() as u64);
    let last = image.sections_named(".s69999").next().unwrap();
    let symbol = image.symbols().find(|it| it.name == b"v69999").unwrap();
    assert_eq!(symbol.section, elf_sections::SymbolSection::Index(last.index));
    assert_eq!(Elf::parse(&bytes).unwrap().section_headers.len(), image.sections().len());
}
