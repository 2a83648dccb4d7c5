//! What is writable and no variable.

use elf_sections::{Changes, Image, Reason, Source, plan_changes};

use crate::support::{Workshop, went_through};

#[test]
fn the_start_files_handle_is_no_variable_of_a_program_that_loads_at_one_address() {
    let workshop = Workshop::new();
    let source = "int own = 3; int object_count = 4, completed_jobs = 5;\n\
                  int main(void) { return own + object_count + completed_jobs; }";
    let (mut count, mut programs) = (0, 0);
    for linker in ["bfd", "gold", "lld", "mold"] {
        let flag = format!("-fuse-ld={linker}");
        let command = ["gcc", "-no-pie", "-fno-pie", "-g0", flag.as_str()];
        let Some(path) = workshop.compile(linker, source, &command) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let (index, writable) = (image.symbol_index(), image.writable());
        for handle in index.named(b"__dso_handle") {
            assert!(!writable.contains(handle.address), "{linker}");
            count += 1;
        }
        for name in ["own", "object_count", "completed_jobs"] {
            let variable = index.named(name.as_bytes()).next().unwrap();
            assert!(writable.contains(variable.address), "{linker} {name}");
        }
        programs += 1;
    }
    went_through(count, 1, "handles");
    went_through(programs, 4, "programs");
}

/// In the file that the compiler's start files are made from, too.
#[test]
fn what_only_starts_like_a_name_of_the_start_files_is_a_variable() {
    let workshop = Workshop::new();
    let source = "static int object_count, completed_jobs, object;\n\
                  int *all(int it) { return it ? &object_count : it ? &completed_jobs : &object; }";
    let source = workshop.write("crtstuff.c", source);
    let command = ["gcc", "-shared", "-fPIC", "-O0", source.to_str().unwrap()];
    let Some(path) = workshop.compile("named.so", "", &command) else { return };
    let bytes = std::fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let (index, writable) = (image.symbol_index(), image.writable());
    for (name, is_kept) in [("object_count", false), ("completed_jobs", false), ("object", true)] {
        let variable = index.named(name.as_bytes()).next().unwrap();
        let reason = is_kept.then_some(Reason::LoaderData);
        assert_eq!(writable.exclusion_at(variable.address), reason, "{name}");
    }
}

/// By their names, where nothing else tells: none is protected, none is relocated.
#[test]
fn writable_sections_that_are_not_the_programs_own_are_known_by_name() {
    let workshop = Workshop::new();
    let reasons = [
        (".tm_clone_table", Some(Reason::TransactionalMemoryTable)),
        (".jcr", Some(Reason::Initializers)),
        (".ctors.65000", Some(Reason::Initializers)),
        (".dtors", Some(Reason::Initializers)),
        (".gcc_except_table", Some(Reason::UnwindTable)),
        (".data.rel.ro.own", Some(Reason::ReadOnlyAfterRelocation)),
        (".toc", Some(Reason::Got)),
        (".got", Some(Reason::Got)),
        (".got.plt", Some(Reason::Got)),
        (".state", None),
        (".jcrown", None),
        (".tm_clone_tables", None),
        (".data.relown", None),
        (".gotown", None),
    ];
    let mut source = String::new();
    for (number, (name, _)) in reasons.iter().enumerate() {
        source += &format!(
            "__asm__(\".pushsection {name},\\\"aw\\\"\\n.globl v{number}\\nv{number}: .quad 7\\n.popsection\");"
        );
    }
    let mut count = 0;
    for linker in ["bfd", "gold", "lld", "mold"] {
        let flag = format!("-fuse-ld={linker}");
        let command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,-z,norelro", flag.as_str()];
        let name = format!("named-{linker}.so");
        let Some(path) = workshop.compile(&name, &source, &command) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let (index, writable) = (image.symbol_index(), image.writable());
        for (number, (name, reason)) in reasons.iter().enumerate() {
            let value = index.named(format!("v{number}").as_bytes()).next().unwrap();
            let section = image.section_at(value.address).unwrap();
            let seen = format!("{linker} {name} in {}", section.name.escape_ascii());
            assert_eq!(image.exclusion_of(section), *reason, "{seen}");
            assert_eq!(writable.exclusion_at(value.address), *reason, "{seen}");
            assert_eq!(writable.contains(value.address), reason.is_none(), "{seen}");
            count += 1;
        }
    }
    went_through(count, 4 * reasons.len(), "sections");
}

/// As one segment, which is what `-N` asks for.
#[test]
fn code_and_unwind_tables_are_no_variables_where_everything_is_writable() {
    let workshop = Workshop::new();
    let source =
        "__asm__(\".pushsection .jit,\\\"awx\\\"\\n.globl jit\\njit: .quad 7\\n.popsection\");
        int own = 3; int value(void) { return own; }";
    let flags = ["-shared", "-fPIC", "-nostdlib", "-Wl,-N"];
    let mut count = 0;
    for linker in ["bfd", "lld"] {
        let flag = format!("-fuse-ld={linker}");
        let command = [&["gcc", flag.as_str()], &flags[..]].concat();
        let name = format!("one-segment-{linker}.so");
        let Some(path) = workshop.compile(&name, source, &command) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let (index, writable) = (image.symbol_index(), image.writable());
        let address = |name: &[u8]| index.named(name).next().unwrap().address;
        assert!(writable.contains(address(b"own")), "{linker}");
        assert_eq!(writable.exclusion_at(address(b"jit")), Some(Reason::Code), "{linker}");
        let text = image.sections_named(".text").next().unwrap();
        let reason = if text.flags.is_writable() { Reason::Code } else { Reason::ReadOnly };
        assert_eq!(image.exclusion_of(text), Some(reason), "{linker}");
        let segment = image.segment_at(text.address).unwrap();
        assert!(segment.permissions.is_writable(), "{linker}");
        assert_eq!(writable.exclusion_at(address(b"value")), Some(reason), "{linker}");
        for name in [".eh_frame", ".eh_frame_hdr"] {
            for table in image.sections_named(name).filter(|it| it.flags.is_writable()) {
                assert_eq!(image.exclusion_of(table), Some(Reason::UnwindTable), "{linker}");
            }
        }
        count += 1;
    }
    went_through(count, 2, "libraries of one segment");
}

/// Only this processor's loader has relocations of less than a word in what is built here.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_relocation_takes_as_many_bytes_as_it_writes() {
    let workshop = Workshop::new();
    let source = r#"
        __asm__(".data\n.globl pair, near\n.align 8\n.type pair,@object\n.size pair,8\n"
                "pair: .long imported - .\nnear: .long 7\n.text\n");
    "#;
    // The others refuse to link it.
    let command = ["gcc", "-shared", "-nostdlib", "-fuse-ld=bfd", "-Wl,-z,notext"];
    let Some(path) = workshop.compile("near.so", source, &command) else { return };
    let bytes = std::fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let writable = image.writable();
    // R_X86_64_PC32.
    let relocation = image.relocations().find(|it| it.kind == 2).unwrap();
    for byte in 0..4 {
        let reason = writable.exclusion_at(relocation.address + byte);
        assert_eq!(reason, Some(Reason::RelocatedWord));
        assert!(writable.contains(relocation.address + 4 + byte));
    }
}

#[test]
fn tables_that_were_moved_to_writable_memory_are_no_variables() {
    let workshop = Workshop::new();
    let mut count = 0;
    for linker in ["bfd", "gold", "lld", "mold"] {
        let flag = format!("-fuse-ld={linker}");
        let Some(bytes) = workshop.guest(linker, &["gcc", &flag]) else { continue };
        let image = Image::parse(&bytes).unwrap();
        let before = image.writable();
        let changes = Changes {
            add_needed: (0..40).map(|it| format!("libadded{it}.so").into_bytes()).collect(),
            ..Changes::default()
        };
        let mut changed = bytes.clone();
        plan_changes(&image, &changes).unwrap().apply_to_vec(&mut changed).unwrap();
        // No section headers: e_shoff, e_shnum and e_shstrndx of a 64-bit file.
        if cfg!(target_pointer_width = "64") {
            changed[40..48].fill(0);
            changed[60..64].fill(0);
        }
        let image = Image::parse(&changed).unwrap();
        assert!(image.sections().is_empty() || cfg!(not(target_pointer_width = "64")));
        let after = image.writable();
        let end =
            before.variables.last().unwrap().end.max(before.excluded.last().unwrap().range.end);
        let end = end.next_multiple_of(0x1000);
        let added: Vec<_> = after.variables.iter().filter(|it| it.start >= end).collect();
        assert!(added.iter().all(|it| it.end - it.start < 16), "{linker} {added:x?}");
        assert!(after.excluded.iter().any(|it| it.range.start >= end), "{linker}");
        assert_eq!(Source::new(&changed[..]).unwrap().image().unwrap().writable(), after);
        count += 1;
    }
    went_through(count, 4, "guests");
}

/// One segment for everything, as some linker scripts have it.
#[test]
fn tables_of_an_image_of_one_segment_are_no_variables() {
    let workshop = Workshop::new();
    for style in ["sysv", "gnu"] {
        let hash = format!("-Wl,--hash-style={style}");
        let Some(mut bytes) = workshop.guest(style, &["gcc", "-Wl,-N", &hash]) else { return };
        if cfg!(target_pointer_width = "64") {
            bytes[40..48].fill(0);
            bytes[60..64].fill(0);
        }
        let image = Image::parse(&bytes).unwrap();
        let writable = image.writable();
        for tag in [4, 5, 6, 7, 23, 0x6fff_fef5_i64, 0x6fff_fff0] {
            let Some(address) = image.dynamic_value(elf_sections::Tag(tag)) else { continue };
            assert!(!writable.contains(address), "{style} {tag:#x} at {address:#x}");
        }
    }
}

/// The loader protects whole pages: the part of the last one it leaves writable is excluded, and
/// what follows in that page are variables.
#[test]
fn the_protected_range_ends_at_the_last_whole_page() {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([3_u16, 62].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0_u64, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64_u16, 56, 2, 64, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    for (kind, address, size) in [(1_u32, 0x1000_u64, 0x5000_u64), (0x6474_e552, 0x1100, 0x2700)] {
        bytes.extend([kind, 6].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend([0, address, address, 0, size, 0x1000].into_iter().flat_map(u64::to_le_bytes));
    }
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.relro_segment(), Some(0x1100..0x3800));
    assert_eq!(image.relro_with_page(0x1000), Some(0x1000..0x3000));
    assert_eq!(image.relro_with_page(0x4000), Some(0..0));
    let writable = image.writable();
    assert_eq!(writable.variables, vec![0x3800..0x6000; 1]);
    assert_eq!(writable.exclusion_at(0x1000), Some(Reason::ReadOnlyAfterRelocation));
    // What is no whole page is excluded too, however large pages are.
    let writable = image.writable_with_page(0x4000);
    assert_eq!(writable.variables, [0x1000..0x1100, 0x3800..0x6000]);
}
