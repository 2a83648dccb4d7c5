//! How units were compiled, and the whole tree of what they include, as far as that is recorded.

use build_info::{Command, Provenance, Quoting};

use crate::workshop::{Workshop, files, read, unit};

#[test]
fn clang_records_its_whole_command_line() {
    let workshop = Workshop::new();
    for compiler in ["clang++-14", "clang++-19"] {
        let options = "-g -grecord-command-line -DVALUE=1 -O1";
        let Some(image) = workshop.build(compiler, options, "") else { continue };
        let info = read(&image);
        let part = &info.units[unit(&info, "part.cc")];
        let command = part.command.as_ref().expect("a command");
        assert_eq!(command.provenance, Provenance::Recorded);
        let Command::Line { raw, quoting, with_compiler, cut } = &command.value else {
            panic!("a line")
        };
        assert_eq!((*quoting, *with_compiler, *cut), (Quoting::Llvm, true, false));
        for words in ["-D VALUE=1", "-I include", "-c", " src/part.cc", "-o part.o"] {
            assert!(raw.contains(words), "{words} in {raw}");
        }
        let executable = &part.compiler.as_ref().expect("a compiler").value;
        assert!(raw.starts_with(executable.as_str()));
        assert!(executable.starts_with('/'));
    }
}

#[test]
fn a_section_of_commands_gives_each_unit_that_which_names_it() {
    let workshop = Workshop::new();
    let options = "-g -frecord-command-line";
    if let Some(image) = workshop.build("clang++-19", options, "") {
        let info = read(&image);
        for (source, object) in crate::workshop::SOURCES {
            let unit = &info.units[unit(&info, source)];
            let Some(Command::Line { raw, .. }) = unit.command.as_ref().map(|one| &one.value)
            else {
                panic!("no command of {source}")
            };
            assert!(raw.contains(&format!("-c {source} -o {object}")), "{raw}");
        }
    }
    // GCC's says no more than the producer does.
    let options = "-g -frecord-gcc-switches -gno-record-gcc-switches -O2";
    if let Some(image) = workshop.build("g++", options, "") {
        let info = read(&image);
        let command = info.units[0].command.as_ref().expect("a command");
        let Command::Line { raw, quoting, with_compiler, .. } = &command.value else {
            panic!("a line")
        };
        assert_eq!((*quoting, *with_compiler), (Quoting::Words, false));
        assert!(raw.contains("-O2") && !raw.contains("-I"), "{raw}");
    }
}

#[test]
fn gcc_records_some_options_which_are_not_taken_for_all() {
    let workshop = Workshop::new();
    let Some(image) = workshop.build("g++", "-g -O2 -DVALUE=1 -Wall", "") else { return };
    let info = read(&image);
    let main = &info.units[unit(&info, "main.cc")];
    let Some(Command::Line { raw, quoting, with_compiler, .. }) =
        main.command.as_ref().map(|one| &one.value)
    else {
        panic!("a line")
    };
    assert_eq!((*quoting, *with_compiler), (Quoting::Words, false));
    assert!(raw.contains("-O2") && !raw.contains("VALUE") && !raw.contains("Wall"), "{raw}");
    assert!(main.definitions.is_empty());
    assert!(main.compiler.is_none());
    assert!(main.flags.contains(&build_info::Flag::Optimized));
    assert_eq!(main.language.as_deref(), Some("C++"));
}

/// `macros.h` has no code in `plain.cc`, and so no line.
#[test]
fn macro_information_has_the_whole_tree_and_the_definitions() {
    let workshop = Workshop::new();
    workshop.write("only.cc", "#include \"leaf.h\"\nint main() { return LEAF + VALUE; }\n");
    workshop.write("leaf.h", "#include \"twig.h\"\n#define LEAF TWIG\n");
    workshop.write("twig.h", "#define TWIG 1\n");
    workshop.write("forced.h", "#define FORCED 1\n");
    let options = "-DVALUE=3 -DTEXT=\"x\" -D_GNU_SOURCE -Uunix -include forced.h";
    for (compiler, macros) in [
        ("g++", "-g3"),
        ("g++", "-g3 -gdwarf-4"),
        ("g++", "-g3 -gdwarf-3 -gstrict-dwarf"),
        ("g++", "-g3 -gsplit-dwarf"),
        ("clang++-14", "-g -fdebug-macro"),
        ("clang++-14", "-gdwarf-4 -fdebug-macro"),
        ("clang++-19", "-g -fdebug-macro"),
    ] {
        let command = format!("{compiler} {macros} {options} only.cc -o image");
        if workshop.run(&command).is_none() {
            continue;
        }
        let info = read(&workshop.at("image"));
        let only = unit(&info, "only.cc");
        let mut names = files(&info, only);
        names.retain(|name| *name != "stdc-predef.h");
        assert_eq!(names, ["forced.h", "leaf.h", "only.cc", "twig.h"], "{command}");
        for one in &info.units[only].files {
            let path = &info.files[one.file.0 as usize].path;
            // A skeleton's line table spells it otherwise than the split file's.
            if macros.contains("split") && path.contains("/./") {
                continue;
            }
            let wanted =
                if path.ends_with("only.cc") { Provenance::Recorded } else { Provenance::Macros };
            assert_eq!(one.provenance, wanted, "{path} by {command}");
        }
        // GCC leaves out of a split file where the definitions are in it.
        if !macros.contains("split") {
            let mut given = info.units[only].definitions.clone();
            given.retain(|one| one != "-D_GNU_SOURCE");
            assert_eq!(given, ["-DVALUE=3", "-DTEXT=\"x\"", "-Uunix"], "{command}");
        }
        assert_eq!(info.remarks, [""; 0]);
    }
}

#[test]
fn a_line_table_is_called_a_lower_bound() {
    let workshop = Workshop::new();
    let Some(image) = workshop.build("g++", "-g", "") else { return };
    let info = read(&image);
    let main = unit(&info, "main.cc");
    let shared = info.units[main]
        .files
        .iter()
        .find(|one| info.files[one.file.0 as usize].path.ends_with("shared.h"));
    let provenance = shared.expect("a header with code").provenance;
    assert_eq!(provenance, Provenance::LineTable);
    assert_eq!(provenance.to_string(), "line table: lower bound");
}

#[test]
fn macro_information_knows_that_a_source_includes_nothing() {
    let workshop = Workshop::new();
    for (compiler, options, is_whole) in [
        ("clang++-19", "-g -fdebug-macro", true),
        ("g++", "-g3", true),
        ("clang++-19", "-g", false),
        ("g++", "-g", false),
    ] {
        let Some(image) = workshop.build(compiler, options, "") else { continue };
        let info = read(&image);
        let plain = &info.units[unit(&info, "plain.c")];
        assert_eq!(plain.has_all_files(), is_whole, "{compiler} {options}");
    }
}
