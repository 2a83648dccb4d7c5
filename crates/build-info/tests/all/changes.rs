//! What is affected by a change, and what differs between two builds.

use build_info::{
    BuildInfo, Change, Checksum, Command, Fact, File, FileId, FileUse, Flag, Format, Found, Linker,
    Provenance, Recognised, Unit, UnitId, Version,
};

/// Units by name, each with the files that it was made from.
fn info(format: Format, units: &[(&str, &[&str])]) -> BuildInfo {
    let mut info = BuildInfo::new(format);
    for (number, (object, files)) in units.iter().enumerate() {
        let id = UnitId(number as u32);
        let mut unit =
            Unit { object: Some(Fact::recorded((*object).to_owned())), ..Unit::default() };
        for path in *files {
            let known = info.files.iter().position(|file| file.path == *path);
            let at = known.unwrap_or(info.files.len());
            if known.is_none() {
                info.files.push(File {
                    path: (*path).to_owned(),
                    spellings: Vec::new(),
                    found: Found::Unknown,
                    units: Vec::new(),
                });
            }
            info.files[at].units.push(id);
            let file = FileId(at as u32);
            unit.files.push(FileUse { file, checksum: None, provenance: Provenance::Recorded });
        }
        info.units.push(unit);
    }
    info
}

#[test]
fn a_path_is_recognised_by_itself_by_a_spelling_or_by_its_end() {
    let mut info = info(
        Format::Elf,
        &[
            ("a.o", &["/s/a.c", "/s/inc/x.h"]),
            ("b.o", &["/s/b.c", "/t/inc/x.h"]),
            ("c.o", &["/s/bx.h", "/s/X.h"]),
        ],
    );
    info.files[0].spellings = vec!["../s/./a.c".to_owned(), "/link/a.c".to_owned()];
    let ask = |path: &str| {
        let affected = info.affected(&[path]);
        let units: Vec<u32> = affected.units.iter().map(|unit| unit.0).collect();
        (units, affected.matches[0].by)
    };
    assert_eq!(ask("/s/inc/x.h"), (vec![0], Recognised::Path));
    assert_eq!(ask("/s/../s/inc//x.h"), (vec![0], Recognised::Path));
    assert_eq!(ask("/link/a.c"), (vec![0], Recognised::Spelling));
    assert_eq!(ask("x.h"), (vec![0, 1], Recognised::End));
    assert_eq!(ask("inc/x.h"), (vec![0, 1], Recognised::End));
    assert_eq!(ask("./t/inc/x.h"), (vec![1], Recognised::End));
    assert_eq!(ask("X.h"), (vec![2], Recognised::End));
    for path in ["/inc/x.h", "h", "nc/x.h", "", ".", "..", "/", "deeper/s/inc/x.h", "../x.h"] {
        assert_eq!(ask(path), (vec![], Recognised::Not), "{path}");
    }
    let both = info.affected(&["/s/b.c", "/s/a.c", "/s/b.c", "none"]);
    assert_eq!(both.units, [UnitId(0), UnitId(1)]);
    assert_eq!(both.matches.len(), 4);
}

#[test]
fn letters_and_slashes_are_one_on_windows() {
    let info = info(Format::Pdb, &[("a.obj", &[r"D:\QA\Größe.h"]), ("b.obj", &["/src/a.h"])]);
    let units = |path: &str| info.affected(&[path]).units;
    assert_eq!(units("d:/qa/GRÖSSE.h"), [] as [UnitId; 0]);
    assert_eq!(units("d:/qa/GRÖßE.H"), [UnitId(0)]);
    assert_eq!(units(r"\\?\D:\QA\x\..\größe.h"), [UnitId(0)]);
    assert_eq!(units("qa/größe.H"), [UnitId(0)]);
    assert_eq!(units("/src/A.h"), [] as [UnitId; 0]);
}

#[test]
fn a_build_does_not_differ_from_itself() {
    let build = info(Format::Elf, &[("a.o", &["/s/a.c"]), ("a.o", &["/s/b.c"]), ("", &[])]);
    assert!(build.diff(&build).is_empty());
}

#[test]
fn what_was_built_elsewhere_is_matched_by_its_last_name_if_there_is_one() {
    let older = info(Format::Elf, &[("/one/a.o", &[]), ("/one/b.o", &[]), ("/one/x/b.o", &[])]);
    let newer = info(Format::Elf, &[("/two/b.o", &[]), ("/two/x/b.o", &[]), ("/two/a.o", &[])]);
    let diff = older.diff(&newer);
    assert_eq!(diff.added, [UnitId(0), UnitId(1)]);
    assert_eq!(diff.removed, [UnitId(1), UnitId(2)]);
}

#[test]
fn each_difference_is_named() {
    let base = || {
        let mut build = info(Format::Elf, &[("a.o", &["/s/a.c", "/s/x.h"]), ("b.o", &["/s/b.c"])]);
        build.checksums = vec![Checksum::Md5([1; 16]), Checksum::Md5([2; 16])];
        for unit in &mut build.units {
            unit.producer = Some("cc".to_owned());
            unit.cwd = Some(Fact::recorded("/b".to_owned()));
            let arguments = vec!["cc".to_owned(), "-c".to_owned()];
            unit.command = Some(Fact::recorded(Command::Arguments(arguments)));
            unit.files[0].checksum = Some(0);
        }
        build.linker = Some(Linker { producer: Some("ld".to_owned()), ..Linker::default() });
        build
    };
    let differ = |change: &dyn Fn(&mut BuildInfo)| {
        let mut newer = base();
        change(&mut newer);
        base().diff(&newer)
    };
    let make = |unit: &mut Unit, change| match change {
        Change::Command => unit.definitions.push("-DX".to_owned()),
        Change::Directory => unit.cwd = None,
        Change::Compiler => unit.back_end = Some(Version([1, 2, 3, 4])),
        Change::Flags => unit.flags.push(Flag::Sdl),
        Change::Files => unit.files.truncate(1),
        Change::Contents => unit.files[0].checksum = Some(1),
        Change::Size => unit.size = 1,
        _ => unreachable!(),
    };
    for expected in [
        Change::Command,
        Change::Directory,
        Change::Compiler,
        Change::Flags,
        Change::Files,
        Change::Contents,
        Change::Size,
    ] {
        let diff = differ(&|build| make(&mut build.units[0], expected));
        assert_eq!(diff.changed.len(), 1);
        assert_eq!(diff.changed[0].before, UnitId(0));
        assert_eq!(diff.changed[0].what, [expected]);
    }
    // The same arguments in other words are the same.
    let line = |build: &mut BuildInfo| {
        build.units[0].command = Some(Fact::recorded(Command::Line {
            raw: "cc  '-c'".to_owned(),
            quoting: build_info::Quoting::Posix,
            with_compiler: true,
            cut: false,
        }));
    };
    assert!(differ(&line).is_empty());

    let diff = differ(&|build| {
        build.units[1].object = Some(Fact::recorded("c.o".to_owned()));
        build.files[2].path = "/s/c.c".to_owned();
        build.units[1].producer = Some("clang".to_owned());
        build.linker = None;
    });
    assert_eq!((diff.added, diff.removed), (vec![UnitId(1)], vec![UnitId(1)]));
    assert_eq!(
        (diff.files_added, diff.files_removed),
        (vec!["/s/c.c".to_owned()], vec!["/s/b.c".to_owned()])
    );
    assert_eq!(diff.toolchains_added, ["clang"]);
    assert_eq!(diff.toolchains_removed, ["ld"]);
    assert!(diff.linker);
    let diff = differ(&|build| build.units[0].files[0].checksum = Some(1));
    assert_eq!(diff.files_changed, ["/s/a.c"]);
}
