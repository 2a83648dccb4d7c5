use build_info::pdb::{identity, read};
use build_info::{
    Checksum, Claim, Command, Flag, Identity, Kind, Provenance, Questions, Quoting, Version,
};

use crate::maker::{self, Module, Pdb, build_info, list, string};
use crate::msf::{self, PLAIN};
use crate::second;

fn bytes(pdb: &Pdb) -> Vec<u8> {
    msf::write(&pdb.streams(), &PLAIN)
}

fn info(pdb: &Pdb) -> build_info::BuildInfo {
    read(&bytes(pdb), &Questions::ALL).unwrap()
}

fn raw(command: &Option<build_info::Fact<Command>>) -> &str {
    match command.as_ref().map(|fact| &fact.value) {
        Some(Command::Line { raw, .. }) => raw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unit_is_described_by_its_build_information() {
    let info = info(&Pdb::new());
    assert_eq!(info.remarks, [] as [String; 0]);
    let unit = &info.units[0];
    let value = |fact: &Option<build_info::Fact<String>>| fact.clone().unwrap().value;
    assert_eq!(unit.module, "D:\\game\\obj\\main.obj");
    assert_eq!(unit.archive, None);
    assert_eq!(value(&unit.object), "D:\\game\\obj\\main.obj");
    assert_eq!(value(&unit.source), "main.cpp");
    assert_eq!(value(&unit.cwd), "D:\\game\\src");
    assert_eq!(value(&unit.compiler), "C:\\VC\\cl.exe");
    assert_eq!(unit.compiler_pdb, None);
    assert_eq!(raw(&unit.command), "-c -DA=\"1 2\" -c -DA=\"1 2\" -O2");
    let Some(Command::Line { quoting, with_compiler, cut, .. }) =
        unit.command.clone().map(|fact| fact.value)
    else {
        panic!("{unit:?}");
    };
    assert_eq!((quoting, with_compiler, cut), (Quoting::Windows, false, false));
    assert_eq!(unit.kind, Kind::Source);
    assert_eq!(unit.language.as_deref(), Some("C++"));
    assert_eq!(unit.target.as_deref(), Some("x86_64"));
    assert_eq!(unit.front_end, Some(Version([19, 44, 35222, 1])));
    assert_eq!(unit.back_end, Some(Version([19, 44, 35222, 2])));
    assert_eq!(unit.flags, [] as [Flag; 0]);
    assert_eq!(unit.size, 0x18);

    let runtime = &info.units[1];
    assert_eq!(runtime.kind, Kind::Runtime);
    assert_eq!(runtime.archive.as_deref(), Some("C:\\VC\\lib\\LIBCMT.lib"));
    assert_eq!(runtime.target.as_deref(), Some("x86"));
    assert_eq!(runtime.front_end, Some(Version([15, 0, 30729, 0])));
    assert_eq!(runtime.language.as_deref(), Some("C"));
}

#[test]
fn files_are_joined_to_the_directory_and_known_by_their_checksums() {
    let info = info(&Pdb::new());
    let paths: Vec<&str> = info.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        ["D:\\game\\src\\main.cpp", "D:\\game\\crt.c", "D:\\game\\src\\..\\inc\\shared.h"]
    );
    assert_eq!(info.files[2].spellings, ["..\\inc\\shared.h"]);
    let units = |file: usize| info.files[file].units.iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!([units(0), units(1), units(2)], [vec![0, 1], vec![1], vec![0]]);
    let of = |unit: usize| -> Vec<_> {
        let files = info.units[unit].files.iter();
        files.map(|it| (it.file.0, info.checksums[it.checksum.unwrap() as usize])).collect()
    };
    assert_eq!(of(0), [(0, Checksum::Sha256([0x11; 32])), (2, Checksum::Md5([0x22; 16]))]);
    assert_eq!(of(1), [(1, Checksum::Sha1([0x33; 20])), (0, Checksum::Sha256([0x44; 32]))]);
}

#[test]
fn a_list_of_files_is_whole_only_from_a_compiler_that_is_known_to_write_it_whole() {
    let info = info(&Pdb::new());
    assert_eq!(info.units[0].files[0].provenance, Provenance::Recorded);
    assert_eq!(info.units[1].files[0].provenance, Provenance::LineTable);
}

#[test]
fn only_what_is_asked_for_is_answered() {
    let bytes = bytes(&Pdb::new());
    let files = read(&bytes, &Questions::FILES).unwrap();
    assert!(files.units[0].command.is_none() && files.linker.is_none());
    assert!(files.contributions.is_empty() && files.groups.is_empty());
    // The directory is needed for the files.
    assert_eq!(files.files[2].path, "D:\\game\\src\\..\\inc\\shared.h");
    let none = Questions { commands: false, files: false, contributions: false };
    let none = read(&bytes, &none).unwrap();
    assert_eq!(none.units.len(), 3);
    assert!(none.files.is_empty() && none.units[0].files.is_empty());
    assert_eq!(none.units[1].kind, Kind::Runtime);
}

#[test]
fn the_linker_tells_of_itself_and_of_the_groups() {
    let info = info(&Pdb::new());
    let linker = info.linker.unwrap();
    assert_eq!(linker.producer.as_deref(), Some("Microsoft (R) LINK"));
    assert_eq!(linker.cwd.unwrap().value, "D:\\game");
    assert_eq!(linker.executable.unwrap().value, "C:\\VC\\link.exe");
    assert_eq!(linker.pdb.unwrap().value, "D:\\game\\game.pdb");
    assert_eq!(raw(&linker.command), " /debug");
    assert_eq!(info.units[2].kind, Kind::Linker);
    let group = &info.groups[0];
    assert_eq!((group.name.as_str(), group.address, group.size), (".text$mn", 0x1000, 0x30));
}

#[test]
fn the_identity_has_the_age_that_the_image_has() {
    let bytes = bytes(&Pdb::new());
    let expected = Identity::Pdb { guid: [0xab; 16], age: 2 };
    assert_eq!(identity(&bytes).unwrap(), expected);
    assert_eq!(read(&bytes, &Questions::ALL).unwrap().identity, Some(expected));
}

#[test]
fn contributions_are_ranges_of_the_image_in_both_versions() {
    for second_version in [false, true] {
        let info = info(&Pdb { second_version, ..Pdb::new() });
        let ranges: Vec<_> = info
            .contributions
            .iter()
            .map(|it| (it.address, it.size, it.unit.0, it.section))
            .collect();
        assert_eq!(ranges, [(0x1000, 0x10, 0, 1), (0x1010, 0x20, 1, 1), (0x3000, 8, 0, 2)]);
        assert!(info.contributions.iter().all(|one| one.claim == Claim::Sole));
        assert_eq!(info.owners(0x102f).owner().unwrap().unit.0, 1);
        assert!(info.owners(0x1030).owner().is_none());
    }
}

#[test]
fn without_section_headers_the_linkers_module_says_where_sections_are() {
    let info = info(&Pdb { sections: vec![], ..Pdb::new() });
    assert_eq!(info.contributions[2].address, 0x3000);
}

#[test]
fn contributions_in_no_order_that_overlap_have_one_owner_everywhere() {
    let contributions = vec![
        (1, 0x40, 0x10, 1),
        (1, 0x00, 0x10, 1),
        (1, 0x00, 0x20, 0),
        (1, 0x18, 0x10, 2),
        (1, 0x30, 0, 2),
        (1, 0x40, 0x10, 0),
    ];
    let info = info(&Pdb { contributions, ..Pdb::new() });
    let claims: Vec<_> = info
        .contributions
        .iter()
        .map(|it| (it.address - 0x1000, it.size, it.unit.0, it.claim))
        .collect();
    assert_eq!(
        claims,
        [
            (0x00, 0x20, 0, Claim::First),
            (0x00, 0x10, 1, Claim::Loser),
            (0x18, 0x08, 2, Claim::Loser),
            (0x20, 0x08, 2, Claim::Sole),
            (0x40, 0x10, 0, Claim::First),
            (0x40, 0x10, 1, Claim::Loser),
        ]
    );
    assert_eq!(info.units[0].size, 0x30);
    assert_eq!(info.units[1].size, 0);
    assert_eq!(info.units[2].size, 8);
    let owners = |address: u64| -> Vec<u32> {
        info.owners(0x1000 + address).contributions.iter().map(|it| it.unit.0).collect()
    };
    assert_eq!([owners(0), owners(0x1c), owners(0x24)], [vec![0, 1], vec![0, 2], vec![2]]);
}

#[test]
fn contributions_of_nobody_and_nowhere_are_counted() {
    let contributions = vec![(1, 0, 1, 99), (0, 0, 1, 0), (77, 0, 1, 0), (1, 0, 1, 0)];
    let info = info(&Pdb { contributions, ..Pdb::new() });
    assert_eq!(info.contributions.len(), 1);
    assert_eq!(info.remarks, ["3 contributions are of no module or in no section of the image"]);
}

#[test]
fn older_compilers_describe_units_by_an_environment_and_there_are_no_identifiers() {
    let mut pdb = Pdb { features: vec![], ids: vec![b"not identifiers".to_vec()], ..Pdb::new() };
    pdb.modules[1].symbols.push(maker::environment(&[
        ("cwd", "d:\\old"),
        ("cl", "c:\\vc9\\cl.exe"),
        ("cmd", "-c \"-IC:\\a b\""),
        ("src", "crt.c"),
        ("pdb", "d:\\old\\vc90.pdb"),
    ]));
    pdb.modules[0].symbols.remove(2);
    let info = info(&pdb);
    assert_eq!(info.remarks, [] as [String; 0]);
    let unit = &info.units[1];
    assert_eq!(unit.compiler.as_ref().unwrap().value, "c:\\vc9\\cl.exe");
    assert_eq!(unit.compiler_pdb.as_ref().unwrap().value, "d:\\old\\vc90.pdb");
    assert_eq!(raw(&unit.command), "-c \"-IC:\\a b\"");
    assert_eq!(info.units[0].command, None);
}

#[test]
fn without_identifiers_a_reference_to_them_is_no_command() {
    let info = info(&Pdb { features: vec![], ..Pdb::new() });
    assert_eq!(info.units[0].command, None);
    assert!(info.remarks[0].contains("no identifiers"), "{:?}", info.remarks);
}

#[test]
fn what_was_left_out_of_a_pdb_is_said_and_how_to_get_it() {
    let minimal = u32::from_le_bytes(*b"MINI");
    let info_of = |pdb: Pdb| info(&pdb).remarks.join("\n");
    let fast = info_of(Pdb { features: vec![maker::VC140, minimal], ..Pdb::new() });
    assert!(fast.contains("/DEBUG:FASTLINK") && fast.contains("/DEBUG:FULL"), "{fast}");
    let stripped = info_of(Pdb { flags: 2, ..Pdb::new() });
    assert!(stripped.contains("/PDBSTRIPPED"), "{stripped}");
}

#[test]
fn build_information_is_found_behind_procedures_and_at_the_end() {
    // A procedure from 4 to an end that is at the offset of the record after it.
    let long = |end: u32| {
        let (kind, mut body) = maker::procedure();
        body[4..8].copy_from_slice(&end.to_le_bytes());
        (kind, body)
    };
    let build = (0x114c, 0x1006_u32.to_le_bytes().to_vec());
    let end = (0x0006, vec![]);
    let garbage = (0x1111, vec![0; 64]);
    for symbols in [
        vec![long(0), end.clone(), garbage.clone(), build.clone()],
        vec![long(48 + 68), garbage.clone(), end.clone(), build.clone(), garbage.clone()],
        vec![long(u32::MAX), build.clone(), long(1), end.clone(), garbage],
    ] {
        let mut pdb = Pdb::new();
        pdb.modules[0].symbols = symbols;
        let info = info(&pdb);
        assert_eq!(raw(&info.units[0].command), "-c -DA=\"1 2\" -c -DA=\"1 2\" -O2");
    }
}

#[test]
fn strings_that_refer_to_themselves_end() {
    let ids = vec![
        string(0x1001, "a"),
        list(&[0x1000, 0x1001, 0x1002]),
        string(0x1002, "b"),
        string(0x1001, "c"),
        string(0xffff_ffff, "d"),
        build_info(&[0x1000, 0x1001, 0x1002, 0x1003]),
        build_info(&[0x1000, 0x1001, 0x1002, 0x1003, 0x1004, 0x1004]),
    ];
    let info = info(&Pdb { ids, ..Pdb::new() });
    assert_eq!(raw(&info.units[0].command), "d");
    assert!(info.units[0].source.as_ref().unwrap().value.len() < 16);
}

#[test]
fn strings_that_multiply_are_left_out_and_that_is_said() {
    // Each list names the one before it thousands of times.
    let mut ids = vec![string(0, &"x".repeat(60_000))];
    for level in 0..6 {
        ids.push(list(&vec![0x1000 + level; 10_000]));
    }
    ids.push(build_info(&[0x1006, 0x1006, 0x1006, 0x1006, 0x1006]));
    let mut pdb = Pdb { ids, ..Pdb::new() };
    pdb.modules[0].symbols[2].1 = 0x1007_u32.to_le_bytes().to_vec();
    let info = info(&pdb);
    assert!(info.remarks.iter().any(|it| it.contains("beyond measure")), "{:?}", info.remarks);
}

#[test]
fn commands_that_fill_their_record_are_cut() {
    for (length, is_cut) in [(0xfdff, false), (0xfe00, true)] {
        let mut pdb = Pdb::new();
        pdb.ids[5] = string(0, &"y".repeat(length));
        let info = info(&pdb);
        let Some(Command::Line { cut, .. }) = &info.units[0].command.as_ref().map(|it| &it.value)
        else {
            panic!("no command");
        };
        assert_eq!(*cut, is_cut, "{length}");
    }
}

#[test]
fn the_kinds_of_modules_are_told_apart() {
    let cases = [
        ("C:\\a\\main.obj", "C:\\a\\main.obj", Kind::Source),
        ("C:\\a\\main.obj", "C:\\a\\engine.lib", Kind::Source),
        ("/b/main.o", "/b/libgame.a", Kind::Source),
        ("C:\\a\\main.obj", "C:\\a\\crt.lib", Kind::Source),
        ("C:\\a\\main.obj", "C:\\a\\c.lib", Kind::Source),
        ("C:\\a\\main.obj", "C:\\a\\cpd.lib", Kind::Source),
        ("/b/main.o", "/b/libc.a", Kind::Source),
        ("Import:KERNEL32.dll", "C:\\sdk\\kernel32.lib", Kind::Import),
        ("KERNEL32.dll", "C:\\sdk\\kernel32.lib", Kind::Import),
        ("C:\\a\\app.res", "C:\\a\\app.res", Kind::Resource),
        ("* Linker Generated Manifest RES *", "", Kind::Resource),
        ("* CIL *", "", Kind::LinkTimeCode),
        ("game.exe.lto.obj", "", Kind::LinkTimeCode),
        ("* Linker *", "", Kind::Linker),
        ("C:\\a\\game.exp", "C:\\a\\game.exp", Kind::Linker),
        ("f:\\dd\\vctools\\crt\\x.obj", "C:\\a\\own.lib", Kind::Runtime),
        ("x.obj", "C:\\VC\\lib\\msvcrtd.lib", Kind::Runtime),
        ("x.obj", "C:\\VC\\lib\\libvcruntime.lib", Kind::Runtime),
        ("x.obj", "C:\\sdk\\libucrtd.lib", Kind::Runtime),
        ("x.obj", "C:\\VC\\lib\\oldnames.lib", Kind::Runtime),
        ("x.o", "/usr/x86_64-w64-mingw32/lib/libmingwex.a", Kind::Runtime),
        ("crt2.o", "/usr/x86_64-w64-mingw32/lib/crt2.o", Kind::Runtime),
        ("x.obj", "C:\\a\\c.lib.backup\\d.obj", Kind::Source),
        ("game.exe.lto.unit.obj", "", Kind::LinkTimeCode),
        ("lib64_libmingw32_a-gccmain.o", "/mingw/libmingw32.a", Kind::Runtime),
        ("libmsvcrt_defs00055.o", "/mingw/libmsvcrt.a", Kind::Import),
        ("libkernel32t.o", "/mingw/libkernel32.a", Kind::Import),
        ("libgame_chat.o", "/b/libgame.a", Kind::Source),
    ];
    let mut pdb = Pdb::new();
    pdb.modules = cases
        .iter()
        .map(|&(name, archive, _)| Module { name, archive, ..Module::default() })
        .collect();
    let info = info(&pdb);
    for (unit, (name, archive, kind)) in info.units.iter().zip(cases) {
        assert_eq!(unit.kind, kind, "{name} of {archive}");
    }
}

#[test]
fn flags_are_named() {
    let mut pdb = Pdb::new();
    pdb.modules[0].symbols[1] = maker::compile3(1, 0xfff, "cl");
    let all = &info(&pdb).units[0].flags.clone();
    assert_eq!(all.len(), 12);
    assert!(all.is_sorted());
    for (bit, flag) in [
        (0, Flag::EditAndContinue),
        (2, Flag::Ltcg),
        (5, Flag::SecurityChecks),
        (6, Flag::Hotpatch),
    ] {
        pdb.modules[0].symbols[1] = maker::compile3(1, 1 << bit, "cl");
        assert_eq!(info(&pdb).units[0].flags, [flag]);
    }
}

#[test]
fn what_compilers_know_without_a_file_is_no_file() {
    let mut pdb = Pdb::new();
    pdb.names.push("D:\\game\\src\\predefined C++ types (compiler internal)");
    let name = pdb.name(4);
    pdb.modules[0].files.insert(0, (name, 0, vec![]));
    let with = info(&pdb);
    assert_eq!(second::table(&with), second::table(&info(&Pdb::new())));
}

#[test]
fn another_reader_gives_the_same_for_what_is_made_by_hand() {
    for pdb in [Pdb::new(), Pdb { second_version: true, ..Pdb::new() }] {
        // The other one does not parse `S_ENVBLOCK` and its like, and passes them over.
        let theirs = second::read(std::io::Cursor::new(bytes(&pdb))).unwrap();
        let (ours, theirs) = (second::table(&info(&pdb)), second::table(&theirs));
        assert_eq!(ours, theirs);
    }
}
