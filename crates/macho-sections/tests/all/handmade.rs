use macho_sections::{
    Class, Endian, FileKind, Image, LibraryKind, Platform, Reason, SectionKind, SymbolKind,
    ThreadLocal, Version,
};

use crate::maker::{BASE, DATA, Encoding, FORMS, Form, LITTLE_64, Segment, UUID, library, section};

fn made(form: Form) -> Vec<u8> {
    library(form, Encoding::Opcodes, &[]).bytes
}

#[test]
fn headers_of_both_classes_and_byte_orders_are_read() {
    for form in FORMS {
        let bytes = made(form);
        let image = Image::parse(&bytes).unwrap();
        let header = image.header();
        assert_eq!(header.class == Class::MachO64, form.is_wide);
        assert_eq!(header.endian == Endian::Big, form.is_big);
        assert_eq!(header.kind, FileKind::DYLIB);
        assert!(header.flags.is_two_level());
        assert_eq!(image.commands().count(), header.command_count as usize);
        let names: Vec<_> = image.segments().iter().map(|it| it.name).collect();
        assert_eq!(names, [&b"__TEXT"[..], b"__DATA_CONST", b"__DATA", b"__LINKEDIT"]);
        assert_eq!(image.check_extent(), Ok(()));
        assert_eq!(image.header_address(), Some(BASE));
    }
}

#[test]
fn sections_have_their_type_their_attributes_and_names_of_sixteen_letters() {
    for form in FORMS {
        let bytes = made(form);
        let image = Image::parse(&bytes).unwrap();
        let text = image.section("__TEXT", "__text").unwrap();
        assert!(text.flags.has_instructions() && text.kind == SectionKind::REGULAR);
        assert_eq!(image.section_bytes(text).unwrap().len(), 0x100);
        let long = image.section("__DATA", "__sixteen_letters".get(..16).unwrap()).unwrap();
        assert_eq!(long.range(), DATA + 0xb8..DATA + 0xd8);
        let bss = image.section("__DATA", "__bss").unwrap();
        assert!(bss.is_zero_fill());
        assert_eq!(image.section_bytes(bss), None);
        assert_eq!(image.sections_of(image.segment("__DATA").unwrap()).len(), 9);
        assert_eq!(image.section_at(DATA + 0x150), Some(bss));
        assert_eq!(image.bytes_at(DATA, 4), image.data().get(0xa00..0xa04));
        assert_eq!(image.bytes_at(DATA + 0xfe, 4), None);
        assert_eq!(image.offset_of(DATA + 0x150, 1), None);
    }
}

#[test]
fn what_an_image_says_of_itself_is_read() {
    for form in FORMS {
        let bytes = made(form);
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image.uuid(), Some(UUID));
        assert_eq!(image.install_name(), Some(&b"@rpath/libmade.dylib"[..]));
        let build = image.build_version().unwrap();
        assert_eq!((build.platform, build.minimum), (Platform::MACOS, Version(0x000b_0000)));
        assert_eq!(build.sdk.to_string(), "14.2.1");
        assert_eq!(build.tools, [(4, Version(0x0013_0107))]);
        let libraries: Vec<_> = image.libraries().map(|it| (it.name, it.kind)).collect();
        assert_eq!(
            libraries,
            [
                (&b"/usr/lib/libSystem.B.dylib"[..], LibraryKind::Needed),
                (b"@rpath/libweak.dylib", LibraryKind::Weak)
            ]
        );
        assert_eq!(image.libraries().next().unwrap().current_version.to_string(), "1.2.3");
        assert_eq!(image.rpaths().collect::<Vec<_>>(), [b"@loader_path/lib"]);
    }
}

/// By its flag, or by the names of the segments that had none before there was the flag.
#[test]
fn a_segment_that_the_loader_takes_back_holds_no_variables() {
    let bytes = made(LITTLE_64);
    let old = b"__DATA_CONST\0\0\0\0";
    let names: Vec<usize> =
        (0..bytes.len() - 16).filter(|&at| bytes[at..at + 16] == *old).collect();
    // The segment's command has its flags 60 bytes behind its name.
    for (name, flags, is_taken_back) in [
        (&b"__DATA_CONST"[..], 0_u32, true),
        (b"__AUTH", 0, true),
        (b"__AUTH_CONST", 0, true),
        (b"__OTHER", 0, false),
        (b"__OTHER", 0x10, true),
    ] {
        let mut bytes = bytes.clone();
        for &at in &names {
            bytes[at..at + 16].fill(0);
            bytes[at..at + name.len()].copy_from_slice(name);
        }
        bytes[names[0] + 60..names[0] + 64].copy_from_slice(&flags.to_le_bytes());
        let image = Image::parse(&bytes).unwrap();
        let segment = image.segments().iter().find(|it| it.name == name).unwrap();
        assert_eq!(segment.flags.0, flags);
        let writable = image.writable();
        let whole = writable
            .excluded
            .iter()
            .any(|it| it.range == segment.range() && it.reason == Reason::ReadOnlyAfterRelocation);
        assert_eq!(whole, is_taken_back, "{} {flags:#x}", name.escape_ascii());
    }
}

#[test]
fn variables_are_what_is_left_of_the_writable_bytes() {
    let bytes = made(LITTLE_64);
    let writable = Image::parse(&bytes).unwrap().writable();
    assert_eq!(writable.unread, None);
    assert_eq!(
        writable.variables,
        [
            DATA..DATA + 0x10,
            DATA + 0x18..DATA + 0x28,
            DATA + 0x30..DATA + 0x38,
            DATA + 0x40..DATA + 0x48,
            DATA + 0x50..DATA + 0x70,
            DATA + 0x78..DATA + 0x80,
            DATA + 0xb8..DATA + 0xd8,
            DATA + 0x110..DATA + 0x1e0,
        ]
    );
    let reason_at = |address: u64| {
        let found = writable.excluded.iter().find(|it| it.range.contains(&address));
        found.map(|it| it.reason.as_str())
    };
    assert_eq!(reason_at(BASE + 0x900), Some("read-only-after-relocation"));
    assert_eq!(reason_at(DATA + 0x10), Some("relocated-word"));
    assert_eq!(reason_at(DATA + 0x80), Some("lazy-binding"));
    assert_eq!(reason_at(DATA + 0x90), Some("initializers"));
    assert_eq!(reason_at(DATA + 0xa0), Some("thread-local"));
    assert_eq!(reason_at(DATA + 0xe0), Some("padding"));
    assert_eq!(reason_at(DATA), None);
    assert_eq!(
        writable.thread_local,
        Some(ThreadLocal { template: DATA + 0xf0..DATA + 0x100, size: 0x18, align: 8 })
    );
}

/// Old packers and `-segprot` make the code's own segment writable.
#[test]
fn what_the_linker_puts_beside_code_is_no_variable_where_it_could_be_written_to() {
    let sections = [
        ("__text", 0x8000_0400, Some(Reason::Code)),
        ("__stub_helper", 0x8000_0400, Some(Reason::Code)),
        ("__some_code", 0x0000_0400, Some(Reason::Code)),
        ("__stubs", 0x8000_0408, Some(Reason::LazyBinding)),
        ("__cstring", 2, Some(Reason::ReadOnly)),
        ("__literal4", 3, Some(Reason::ReadOnly)),
        ("__literal8", 4, Some(Reason::ReadOnly)),
        ("__literal16", 14, Some(Reason::ReadOnly)),
        ("__message_refs", 5, Some(Reason::LoaderData)),
        ("__gcc_except_tab", 0, Some(Reason::UnwindTable)),
        ("__unwind_info", 0, Some(Reason::UnwindTable)),
        ("__eh_frame", 0x6000_000b, Some(Reason::UnwindTable)),
        ("__state", 0, None),
    ];
    for form in FORMS {
        let made = sections.iter().enumerate().map(|(index, (name, flags, _))| {
            let offset = 0x800 + 0x10 * index as u32;
            section("__TEXT", name, BASE + u64::from(offset), 0x10, offset, *flags)
        });
        let segment = Segment {
            name: "__TEXT",
            address: BASE,
            size: 0x1000,
            offset: 0,
            file_size: 0x1000,
            maximum: 7,
            permissions: 7,
            flags: 0,
            sections: made.collect(),
        };
        let mut bytes = form.head(6, &[form.segment(&segment)], 0x800);
        bytes.resize(0x1000, 0);
        let image = Image::parse(&bytes).unwrap();
        let writable = image.writable();
        for (section, (name, _, reason)) in image.sections().iter().zip(sections) {
            assert_eq!(image.exclusion_of(section), reason, "{name}");
            let excluded = writable.excluded.iter().find(|it| it.range == section.range());
            assert_eq!(excluded.map(|it| it.reason), reason, "{name}");
            assert_eq!(writable.variables.contains(&section.range()), reason.is_none(), "{name}");
        }
    }
}

#[test]
fn each_excluded_section_has_its_reason() {
    for form in FORMS {
        let bytes = made(form);
        let image = Image::parse(&bytes).unwrap();
        let reason =
            |segment: &str, name: &str| image.exclusion_of(image.section(segment, name).unwrap());
        assert_eq!(reason("__TEXT", "__text"), Some(Reason::ReadOnly));
        assert_eq!(reason("__DATA_CONST", "__got"), Some(Reason::ReadOnlyAfterRelocation));
        assert_eq!(reason("__DATA", "__la_symbol_ptr"), Some(Reason::LazyBinding));
        assert_eq!(reason("__DATA", "__mod_init_func"), Some(Reason::Initializers));
        assert_eq!(reason("__DATA", "__thread_bss"), Some(Reason::ThreadLocal));
        assert_eq!(reason("__DATA", "__data"), None);
        assert_eq!(reason("__DATA", "__common"), None);
    }
}

#[test]
fn symbols_and_the_object_files_they_came_from_are_read() {
    for form in FORMS {
        let bytes = made(form);
        let image = Image::parse(&bytes).unwrap();
        let function = image.symbol_named("_function").unwrap().unwrap();
        assert_eq!((function.address, function.is_external), (BASE + 0x800, true));
        assert_eq!(function.kind, SymbolKind::Section(Some(0)));
        assert_eq!(image.symbol_at(BASE + 0x810).unwrap(), Some(function));
        assert_eq!(image.symbol_named("_import").unwrap(), None);
        let import = image.symbols().unwrap().find(|it| it.name == b"_import").unwrap();
        assert_eq!((import.library(), import.is_weak_reference()), (1, true));
        assert!(image.symbol_named("_variable").unwrap().unwrap().is_weak_definition());

        let [object] = &image.debug_map().unwrap()[..] else { panic!() };
        assert_eq!((object.directory, object.source), (&b"/work/"[..], &b"made.c"[..]));
        assert_eq!(object.object, b"/work/libmade.a");
        assert_eq!(object.member, Some(&b"made.o"[..]));
        assert_eq!(object.modified, Some(1234));
        let [function] = object.functions[..] else { panic!() };
        assert_eq!((function.name, function.address), (&b"_function"[..], BASE + 0x800));
        assert_eq!(function.size, 0x20);
        let [variable] = object.variables[..] else { panic!() };
        assert_eq!((variable.name, variable.address), (&b"_variable"[..], Some(DATA)));
    }
}
