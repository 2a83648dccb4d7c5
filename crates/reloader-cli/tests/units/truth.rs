use reloader_tests::{FUNCTIONS, HEADERS, Project, Run, SHARED, SOURCES, System, Toolchain};
use serde_json::Value;

use crate::desk::Desk;

const CLANG: Toolchain<'_> = Toolchain {
    cc: "clang",
    cxx: "clang++",
    flags: &["-g", "-grecord-command-line"],
    link: &["-fuse-ld=bfd"],
};
const GCC: Toolchain<'_> = Toolchain { cc: "gcc", cxx: "g++", flags: &["-g"], link: &[] };

#[test]
fn units_have_the_keys_that_are_documented_and_what_was_really_done() {
    for toolchain in [GCC, CLANG] {
        let Some(project) = Project::build(System::Ninja, &toolchain) else { return };
        let desk = Desk::new();
        let image = project.image.to_str().unwrap();
        let all =
            desk.json(["units", image, "--json", "--build-dir", project.build.to_str().unwrap()]);
        assert_eq!(all["format"], "elf");
        assert!(all["linker"].is_object() || all["linker"].is_null());
        for source in SOURCES {
            let unit = unit_of(&all, &project, source);
            let run = project.run_of(source);
            let keys = [
                "module",
                "object",
                "source",
                "cwd",
                "compiler",
                "command",
                "arguments",
                "language",
                "version",
                "files",
                "size",
                "provenance",
            ];
            for key in keys {
                assert!(unit.get(key).is_some(), "{key}: {unit}");
            }
            assert_eq!(unit["cwd"], run.directory.to_str().unwrap());
            let arguments = strings(&unit["arguments"]);
            let found = Run { directory: run.directory.clone(), arguments };
            assert_eq!(found.options(), run.options());
            assert!(unit["size"].as_u64().unwrap() > 0);
            for file in unit["files"].as_array().unwrap() {
                assert_eq!(file["exists"], true, "{file}");
                assert!(file["checksum"].is_null() || file["checksum"]["kind"] == "md5", "{file}");
            }
            for header in HEADERS {
                let path = project.path(header.path);
                let has = unit["files"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|it| it["path"] == path.to_str().unwrap());
                assert_eq!(has, header.sources.contains(&source), "{source} {header:?}");
            }
            if HEADERS.iter().any(|header| header.sources.contains(&source)) {
                assert_eq!(unit["provenance"]["files"], "ninja", "{unit}");
            }
        }
    }
}

#[test]
fn the_table_names_every_unit_and_says_which_lists_are_lower_bounds() {
    let Some(project) = Project::build(System::Ninja, &GCC) else { return };
    let desk = Desk::new();
    let image = project.image.to_str().unwrap();
    let whole = desk.run(["units", image]);
    assert_eq!(whole.code, Some(0), "{}", whole.error);
    for source in SOURCES {
        assert!(whole.output.contains(source), "{}", whole.output);
    }
    assert!(whole.output.contains("GNU C++17"), "{}", whole.output);
    // Where nothing of the build is to be found.
    let image = desk.path("alone");
    std::fs::copy(&project.image, &image).unwrap();
    let elsewhere = desk.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let partial = desk.run(["units", "alone", "--build-dir", elsewhere.to_str().unwrap()]);
    let line = partial.output.lines().find(|line| line.contains("src/plain.cpp")).unwrap();
    assert!(line.split_whitespace().nth(1).unwrap().ends_with('+'), "{line}");
}

#[test]
fn affected_names_the_units_of_each_header_and_their_commands() {
    let Some(project) = Project::build(System::Ninja, &GCC) else { return };
    let desk = Desk::new();
    let image = project.image.to_str().unwrap();
    for header in HEADERS {
        let path = project.path(header.path);
        let all = desk.json(["affected", image, path.to_str().unwrap(), "--json"]);
        let sources = all["units"].as_array().unwrap().iter().map(|it| below(it, &project));
        let mut sources: Vec<String> = sources.collect();
        sources.sort();
        assert_eq!(sources, header.sources, "{header:?}");
    }
    let header = project.path("vendor/vendor.h");
    let end = desk.run(["affected", image, header.to_str().unwrap(), "--commands"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    assert_eq!(end.output.lines().count(), 2, "{}", end.output);
    for line in end.output.lines() {
        assert!(line.contains("'-DTITLE=\"a b\"'") && line.contains("-c ../src/"), "{line}");
    }
    let end = desk.run(["affected", image, "nothing.h"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    assert_eq!(end.output, "");
    assert!(end.error.contains("nothing.h: no unit is known to be made from it"), "{}", end.error);
}

#[test]
fn owner_names_the_unit_of_each_function_and_whose_copy_was_thrown_away() {
    let Some(project) = Project::build(System::Ninja, &CLANG) else { return };
    let desk = Desk::new();
    let image = project.image.to_str().unwrap();
    for (function, source) in FUNCTIONS {
        let all = desk.json(["owner", image, function, "--json"]);
        let place = &all["answers"][0]["places"][0];
        assert_eq!(below(&place["owner"], &project), source, "{function}: {all}");
        // By its address as well.
        let address = format!("{:#x}", place["address"].as_u64().unwrap());
        let end = desk.run(["owner", image, &address]);
        assert_eq!(end.code, Some(0), "{}", end.error);
        assert!(end.output.contains(source.rsplit('/').next().unwrap()), "{}", end.output);
    }
    let end = desk.run(["owner", image, SHARED[0]]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    let [first, rest @ ..] = &*end.output.lines().collect::<Vec<_>>() else { panic!() };
    assert!(first.contains("shared_same  ") && first.contains("main.cpp"), "{}", end.output);
    assert!(
        rest.iter().any(|line| line.contains("thrown away") && line.contains("plain.cpp")),
        "{}",
        end.output
    );
    let end = desk.run(["owner", image, "no_such_symbol"]);
    assert!(end.failure(1).contains("no_such_symbol: no symbol of this name"), "{}", end.error);
}

#[test]
fn compile_commands_are_those_of_the_build_and_the_wanting_are_named() {
    let Some(project) = Project::build(System::Ninja, &CLANG) else { return };
    let desk = Desk::new();
    let image = project.image.to_str().unwrap();
    let end = desk.run(["compile-commands", image, "-o", "compile_commands.json"]);
    assert_eq!((end.code, &*end.output), (Some(0), ""), "{}", end.error);
    let text = std::fs::read_to_string(desk.path("compile_commands.json")).unwrap();
    let database: Vec<Value> = serde_json::from_str(&text).unwrap();
    for source in SOURCES {
        let path = project.path(source);
        let entry = database.iter().find(|it| it["file"] == path.to_str().unwrap()).unwrap();
        let run = project.run_of(source);
        assert_eq!(entry["directory"], run.directory.to_str().unwrap());
        let found =
            Run { directory: run.directory.clone(), arguments: strings(&entry["arguments"]) };
        assert_eq!(found.options(), run.options(), "{entry}");
    }

    let Some(project) = Project::build(System::Make, &GCC) else { return };
    let image = project.image.to_str().unwrap();
    let end = desk.run(["compile-commands", image]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    for source in SOURCES {
        let line = end.error.lines().find(|line| line.contains(source)).unwrap();
        assert!(line.contains("incomplete: ") && line.contains("are not recorded"), "{line}");
    }
    let end = desk.run(["compile-commands", image, "--complete"]);
    let entries: Vec<Value> = serde_json::from_str(&end.output).unwrap();
    assert_eq!(entries, [Value::Null; 0]);
}

/// The one unit of a source.
fn unit_of<'a>(all: &'a Value, project: &Project, source: &str) -> &'a Value {
    let units = all["units"].as_array().unwrap();
    let own: Vec<_> = units.iter().filter(|unit| below(unit, project) == source).collect();
    let [unit] = &*own else { panic!("{source}: {all}") };
    unit
}

/// A unit's source below the project's root.
fn below(unit: &Value, project: &Project) -> String {
    let source = unit["source"].as_str().unwrap_or_default();
    let path = project.build.join(source);
    let path = path.canonicalize().unwrap_or(path);
    path.strip_prefix(&project.root).unwrap_or(&path).to_str().unwrap().to_owned()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}
