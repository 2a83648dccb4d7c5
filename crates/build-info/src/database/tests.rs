use super::*;
use crate::Format;

fn fact(value: &str) -> Option<Fact<String>> {
    Some(Fact::recorded(value.to_owned()))
}

fn line(raw: &str, quoting: Quoting, with_compiler: bool) -> Option<Fact<Command>> {
    Some(Fact::recorded(Command::Line { raw: raw.to_owned(), quoting, with_compiler, cut: false }))
}

fn of(unit: Unit) -> Database {
    let mut info = BuildInfo::new(Format::Pdb);
    info.units.push(unit);
    info.compile_commands(&Resolve::lexical())
}

#[test]
fn what_cl_leaves_out_of_a_command_is_put_back() {
    let database = of(Unit {
        object: fact(r"D:\obj\a b.obj"),
        source: fact(r"..\src\a.cpp"),
        cwd: fact(r"D:\build"),
        compiler: fact(r"C:\VC\cl.exe"),
        compiler_pdb: fact(r"D:\obj\vc143.pdb"),
        command: line(r#"-c -I"C:\x y" -O2 -X"#, Quoting::Windows, false),
        ..Unit::default()
    });
    assert_eq!(database.wanting, []);
    let [entry] = &*database.entries else { panic!("{database:?}") };
    assert_eq!(entry.directory, r"D:\build");
    assert_eq!(entry.file, r"D:\src\a.cpp");
    assert_eq!(entry.output.as_deref(), Some(r"D:\obj\a b.obj"));
    assert_eq!(
        entry.arguments,
        [
            r"C:\VC\cl.exe",
            "-c",
            r"-IC:\x y",
            "-O2",
            "-X",
            r"-FdD:\obj\vc143.pdb",
            r"-FoD:\obj\a b.obj",
            r"..\src\a.cpp"
        ]
    );
}

#[test]
fn a_command_that_linked_too_compiles_alone() {
    let database = of(Unit {
        source: fact("a.cpp"),
        cwd: fact(r"D:\build"),
        compiler: fact("cl.exe"),
        command: line("-LD -O1", Quoting::Windows, false),
        ..Unit::default()
    });
    assert_eq!(database.entries[0].arguments, ["cl.exe", "-LD", "-O1", "-c", "a.cpp"]);
}

#[test]
fn a_whole_command_stays_as_it_is() {
    let raw = "/usr/bin/clang -c a\\ b.c -o out.o";
    let database = of(Unit {
        source: fact("a b.c"),
        cwd: fact("/src"),
        command: line(raw, Quoting::Llvm, true),
        ..Unit::default()
    });
    assert_eq!(database.wanting, []);
    let [entry] = &*database.entries else { panic!("{database:?}") };
    assert_eq!(entry.arguments, ["/usr/bin/clang", "-c", "a b.c", "-o", "out.o"]);
    assert_eq!(entry.driver_arguments(), entry.arguments);
    assert_eq!(entry.output.as_deref(), Some("out.o"));
}

#[test]
fn the_front_end_that_a_pdb_records_is_not_told_to_compile_twice() {
    let database = of(Unit {
        object: fact("a.obj"),
        source: fact("src/a.c"),
        cwd: fact("/src"),
        compiler: fact("/usr/bin/clang"),
        command: line(
            r#""-cc1" "-triple" "x" "-emit-obj" "-O2" "-D" "Y" "-x" "c""#,
            Quoting::Posix,
            false,
        ),
        ..Unit::default()
    });
    assert_eq!(database.wanting, []);
    let [entry] = &*database.entries else { panic!("{database:?}") };
    let whole = "/usr/bin/clang -cc1 -triple x -emit-obj -O2 -D Y -x c -main-file-name a.c \
                 -object-file-name=a.obj -o a.obj src/a.c";
    assert_eq!(entry.arguments.join(" "), whole);
    let driven = "/usr/bin/clang -nostdinc --target=x -Xclang -O2 -Xclang -D -Xclang Y -x c \
                  -o a.obj -c src/a.c";
    assert_eq!(entry.driver_arguments().join(" "), driven);
}

#[test]
fn what_gcc_records_is_some_of_a_command_and_named_as_such() {
    let database = of(Unit {
        source: fact("a.cpp"),
        cwd: fact("/src"),
        command: line("-O2 -g", Quoting::Words, false),
        definitions: vec!["-DX=1".to_owned(), "-UY".to_owned()],
        language: Some("C++".to_owned()),
        ..Unit::default()
    });
    let [wanting] = &*database.wanting else { panic!("{database:?}") };
    assert_eq!(wanting.gaps, [Gap::Compiler, Gap::Options]);
    let [entry] = &*database.entries else { panic!("{database:?}") };
    assert_eq!(entry.arguments, ["c++", "-O2", "-g", "-DX=1", "-UY", "-c", "a.cpp"]);
}

#[test]
fn a_unit_without_a_command_has_no_entry_and_a_reason() {
    let database = of(Unit { source: fact("a.rs"), cwd: fact(""), ..Unit::default() });
    assert_eq!(database.entries, []);
    let [wanting] = &*database.wanting else { panic!("{database:?}") };
    assert_eq!(wanting.gaps, [Gap::Directory, Gap::Command]);
    assert!(wanting.gaps.iter().all(|gap| gap.is_fatal()));
}

#[test]
fn what_was_not_compiled_from_source_is_not_spoken_of() {
    for kind in [Kind::Runtime, Kind::Resource, Kind::Import, Kind::Linker] {
        assert_eq!(of(Unit { kind, ..Unit::default() }), Database::default());
    }
}

#[test]
fn a_command_that_was_cut_is_named() {
    let database = of(Unit {
        source: fact("a.c"),
        cwd: fact("/"),
        compiler: fact("clang-cl"),
        command: Some(Fact::recorded(Command::Line {
            raw: "\"-cc1\" \"-I".to_owned(),
            quoting: Quoting::Posix,
            with_compiler: false,
            cut: true,
        })),
        ..Unit::default()
    });
    assert_eq!(database.entries.len(), 1);
    assert_eq!(database.wanting[0].gaps, [Gap::Cut]);
}

#[test]
fn directories_and_sources_are_where_they_are_mapped_to() {
    let mut info = BuildInfo::new(Format::Pdb);
    info.units.push(Unit {
        source: fact(r"..\src\a.cpp"),
        cwd: fact(r"D:\QA\build"),
        compiler: fact("cl.exe"),
        command: line("-c", Quoting::Windows, false),
        ..Unit::default()
    });
    let resolve = Resolve::lexical().map(r"D:\QA=/work".parse().unwrap());
    let database = info.compile_commands(&resolve);
    assert_eq!(database.entries[0].file, "/work/src/a.cpp");
    assert_eq!(database.entries[0].directory, "/work/build");
}
