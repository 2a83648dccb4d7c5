use std::fs;
use std::process::Command;

use reloader_tests::{Crate, HEADERS, Project, SOURCES, System, Toolchain};

pub const GCC: Toolchain<'_> = Toolchain { cc: "gcc", cxx: "g++", flags: &["-g"], link: &[] };
pub const CLANG: Toolchain<'_> =
    Toolchain { cc: "clang", cxx: "clang++", flags: &["-g", "-grecord-command-line"], link: &[] };

pub const SYSTEMS: [System; 4] =
    [System::Ninja, System::Make, System::CmakeNinja, System::CmakeMake];

#[test]
fn every_system_builds_the_project_and_each_compiler_run_is_on_record() {
    for toolchain in [GCC, CLANG] {
        for system in SYSTEMS {
            let Some(project) = Project::build(system, &toolchain) else { continue };
            assert!(project.image.is_file(), "{system:?}");
            for source in SOURCES {
                let run = project.run_of(source);
                assert!(run.object().is_file(), "{system:?} {run:?}");
                assert!(run.arguments.contains(&"-O1".to_owned()), "{run:?}");
            }
        }
    }
}

#[test]
fn the_headers_of_each_source_are_those_the_compiler_opens() {
    for toolchain in [GCC, CLANG] {
        let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
        for source in SOURCES {
            let run = project.run_of(source);
            // With -H each opened header stands on a line behind dots, one for each level.
            let output = Command::new(&run.arguments[0])
                .args(&run.arguments[1..])
                .arg("-H")
                .current_dir(&run.directory)
                .output()
                .unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            let opened: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with('.'))
                .filter_map(|line| line.split_once(' '))
                .map(|(_, path)| fs::canonicalize(run.directory.join(path)).unwrap())
                .collect();
            for header in HEADERS {
                let is_opened = opened.contains(&project.path(header.path))
                    || (header.path == "forced.h"
                        && run.arguments.iter().any(|it| it == "-include"));
                assert_eq!(is_opened, header.sources.contains(&source), "{source}: {header:?}");
            }
        }
    }
}

#[test]
fn cargo_builds_the_crate() {
    let Some(built) = Crate::build() else { return };
    let output = Command::new(&built.image).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "18 a text");
}
