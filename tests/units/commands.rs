use std::fs;

use build_info::{BuildInfo, Gap, Resolve};
use reloader_tests::{Project, Run, SOURCES, System, Toolchain};

use crate::editor::no_complaint;
use crate::ground::{CLANG, GCC, SYSTEMS};
use crate::reading::{alone, around, source_of};

const PLAIN_CLANG: Toolchain<'_> = Toolchain { flags: &["-g"], ..CLANG };

#[test]
fn clang_records_its_commands_and_they_build_the_same_objects_whatever_the_system() {
    for system in SYSTEMS {
        let Some(project) = Project::build(system, &CLANG) else { continue };
        let info = alone(&project.image);
        are_exact(&info, &project, &format!("{system:?}"));
        build_the_same(&info, &project);
    }
}

#[test]
fn what_a_build_system_knows_gives_the_exact_commands_of_compilers_that_record_none() {
    for toolchain in [GCC, PLAIN_CLANG] {
        for system in [System::Ninja, System::CmakeNinja, System::CmakeMake] {
            let Some(project) = Project::build(system, &toolchain) else { continue };
            let info = around(&project.image, &project.build);
            are_exact(&info, &project, &format!("{system:?} {}", toolchain.cxx));
            build_the_same(&info, &project);
        }
    }
}

#[test]
fn what_only_a_makefile_knows_is_named_as_wanting() {
    let Some(project) = Project::build(System::Make, &GCC) else { return };
    let info = around(&project.image, &project.build);
    let database = info.compile_commands(&Resolve::new());
    let own: Vec<_> = database
        .wanting
        .iter()
        .filter(|one| SOURCES.contains(&&*source_of(&info, &project, one.unit.0)))
        .collect();
    assert_eq!(own.len(), SOURCES.len(), "{database:?}");
    assert!(own.iter().all(|one| one.gaps.contains(&Gap::Options)), "{database:?}");
}

#[test]
fn an_editor_has_no_complaint_of_the_commands() {
    for toolchain in [GCC, CLANG] {
        let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
        let info = around(&project.image, &project.build);
        let database = info.compile_commands(&Resolve::new());
        let own = database
            .entries
            .into_iter()
            .filter(|entry| SOURCES.contains(&&*source_of(&info, &project, entry.unit.0)));
        no_complaint(&project.root, &own.collect::<Vec<_>>());
    }
}

/// Each source's entry is the compiler's own account of how it was run.
fn are_exact(info: &BuildInfo, project: &Project, label: &str) {
    let database = info.compile_commands(&Resolve::new());
    for source in SOURCES {
        let run = project.run_of(source);
        let entries: Vec<_> = database
            .entries
            .iter()
            .filter(|entry| source_of(info, project, entry.unit.0) == source)
            .collect();
        let [entry] = &*entries else { panic!("{label} {source}: {database:?}") };
        let arguments = entry.arguments.clone();
        let found = Run { directory: entry.directory.clone().into(), arguments };
        // The recording compiler hands over to the real one, which records its own path.
        assert_eq!(found.options(), known(&run, &found.options()), "{label} {source}");
        let directory = fs::canonicalize(&entry.directory).unwrap();
        assert_eq!(directory, run.directory, "{label} {source}");
        assert_eq!(fs::canonicalize(&entry.file).unwrap(), project.path(source));
        let wanting = database.wanting.iter().find(|one| one.unit == entry.unit);
        assert_eq!(wanting, None, "{label} {source}");
    }
}

/// The options of a run, without those that CMake's makefiles add for their own dependencies and
/// its `compile_commands.json` does not have.
fn known(run: &Run, found: &[String]) -> Vec<String> {
    let mut words = run.options().into_iter();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-MD" if !found.contains(&word) => {}
            "-MT" | "-MF" if !found.contains(&word) => drop(words.next()),
            _ => options.push(word),
        }
    }
    options
}

/// The commands of the entries, run again, give the same bytes.
fn build_the_same(info: &BuildInfo, project: &Project) {
    for entry in info.compile_commands(&Resolve::new()).entries {
        let source = source_of(info, project, entry.unit.0);
        if !SOURCES.contains(&&*source) {
            continue;
        }
        let object = project.run_of(&source).object();
        let before = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let arguments = entry.arguments.clone();
        let run = Run { directory: entry.directory.clone().into(), arguments };
        run.repeat();
        assert!(fs::read(&object).unwrap() == before, "{source}: {entry:?}");
    }
}
