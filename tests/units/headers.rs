use build_info::{BuildInfo, FileUse, Found, Provenance};
use reloader_tests::{Crate, HEADERS, Project, System, Toolchain};

use crate::ground::{CLANG, GCC, SYSTEMS};
use crate::reading::{alone, around, source_of, sources_of};

#[test]
fn with_what_lies_around_all_seven_headers_are_found_in_every_system() {
    for toolchain in [GCC, CLANG] {
        for system in SYSTEMS {
            let Some(project) = Project::build(system, &toolchain) else { continue };
            let info = around(&project.image, &project.build);
            all_seven(&info, &project, &format!("{system:?} {}", toolchain.cxx));
        }
    }
}

#[test]
fn an_image_with_macro_information_names_all_seven_by_itself() {
    let gcc = Toolchain { flags: &["-g3"], ..GCC };
    let clang = Toolchain { flags: &["-g", "-fdebug-macro", "-gdwarf-5"], ..CLANG };
    for toolchain in [gcc, clang] {
        let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
        let info = alone(&project.image);
        all_seven(&info, &project, toolchain.cxx);
    }
}

#[test]
fn a_line_table_names_some_and_says_that_it_does() {
    for toolchain in [GCC, CLANG] {
        let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
        let info = alone(&project.image);
        let mut named = 0;
        for header in HEADERS {
            let sources = sources_of(&info, &project, &project.path(header.path));
            // A lower bound: nothing is made up.
            assert!(sources.iter().all(|it| header.sources.contains(&it.as_str())), "{header:?}");
            named += sources.len();
        }
        assert!(named < HEADERS.iter().map(|header| header.sources.len()).sum());
        for unit in info.units.iter().filter(|unit| !unit.files.is_empty()) {
            assert!(!unit.has_all_files(), "{}", unit.name());
            let is_said = |used: &FileUse| {
                matches!(used.provenance, Provenance::LineTable | Provenance::Recorded)
            };
            assert!(unit.files.iter().all(is_said), "{}", unit.name());
        }
    }
}

#[test]
fn what_a_crate_is_made_from_is_found_with_its_included_text() {
    let Some(built) = Crate::build() else { return };
    let info = around(&built.image, &built.build);
    for name in Crate::FILES {
        let path = built.root.join(name);
        let affected = info.affected(&[path.to_str().unwrap()]);
        let named: Vec<&str> =
            affected.units.iter().map(|unit| info.units[unit.0 as usize].name()).collect();
        assert!(!named.is_empty(), "{name}");
        assert!(named.iter().all(|name| name.ends_with("src/main.rs")), "{name}: {named:?}");
    }
}

/// Each header is in the units of just those sources that cannot do without it, and known to be
/// there.
pub fn all_seven(info: &BuildInfo, project: &Project, label: &str) {
    for header in HEADERS {
        let path = project.path(header.path);
        assert_eq!(sources_of(info, project, &path), header.sources, "{label}: {header:?}");
        let file = info.files.iter().find(|file| file.path == path.to_str().unwrap()).unwrap();
        assert_eq!(file.found, Found::At(path), "{label}");
    }
    let mut whole = 0;
    for (number, unit) in (0..).zip(&info.units) {
        let source = source_of(info, project, number);
        if HEADERS.iter().any(|header| header.sources.contains(&source.as_str())) {
            assert!(unit.has_all_files(), "{label}: {source}");
            whole += 1;
        }
    }
    assert_eq!(whole, 3, "{label}");
}
