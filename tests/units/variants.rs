use std::process::Command;

use reloader_tests::{FUNCTIONS, Project, System, Tool, Toolchain, tool};

use crate::ground::{CLANG, GCC};
use crate::headers::all_seven;
use crate::owners::owner_of;
use crate::reading::{alone, around};

/// How debug information may be written, by which compilers, and whether functions keep their own
/// addresses.
const VARIANTS: [(&[&str], &[Toolchain<'_>], bool); 9] = [
    (&["-gdwarf-2"], &[GCC, CLANG], true),
    (&["-gdwarf-3"], &[GCC, CLANG], true),
    (&["-gdwarf-4"], &[GCC, CLANG], true),
    (&["-gdwarf-5"], &[GCC, CLANG], true),
    (&["-g", "-gz=zlib"], &[GCC, CLANG], true),
    (&["-g", "-gsplit-dwarf"], &[GCC, CLANG], true),
    (&["-g", "-fdebug-types-section"], &[GCC, CLANG], true),
    (&["-g", "-ffunction-sections", "-fdata-sections"], &[GCC, CLANG], true),
    (&["-g", "-flto"], &[GCC], false),
];

#[test]
fn however_debug_information_is_written_headers_and_owners_are_found() {
    for (flags, toolchains, has_functions) in VARIANTS {
        for toolchain in toolchains {
            let toolchain = Toolchain { flags, link: flags, ..*toolchain };
            let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
            let label = format!("{} {flags:?}", toolchain.cxx);
            all_seven(&around(&project.image, &project.build), &project, &label);
            if has_functions {
                all_owners(&project, &label);
            }
        }
    }
}

#[test]
fn what_dwz_and_objcopy_make_of_an_image_says_the_same() {
    let toolchain = Toolchain { flags: &["-g3", "-gdwarf-4"], ..GCC };
    for command in [&["dwz"][..], &["objcopy", "--compress-debug-sections=zlib"]] {
        let [name, options @ ..] = command else { unreachable!() };
        let Some(Tool(program)) = tool(name) else { continue };
        let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
        let before = alone(&project.image);
        let output = Command::new(program).args(options).arg(&project.image).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        let after = alone(&project.image);
        assert_eq!(before, after, "{command:?}");
        all_seven(&after, &project, name);
        all_owners(&project, name);
    }
}

#[test]
fn debug_information_in_a_file_of_its_own_is_found_beside_the_image() {
    let toolchain = Toolchain { flags: &["-g3"], ..GCC };
    let Some(project) = Project::build(System::Ninja, &toolchain) else { return };
    let before = alone(&project.image);
    let debug = project.build.join("program.debug");
    for arguments in [
        &["--only-keep-debug", "program", "program.debug"][..],
        &["--strip-debug", "--add-gnu-debuglink=program.debug", "program"],
    ] {
        let mut objcopy = Command::new("objcopy");
        let output = objcopy.args(arguments).current_dir(&project.build).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(debug.is_file());
    let after = alone(&project.image);
    assert_eq!(before.units, after.units);
    assert_eq!(before.files, after.files);
    all_seven(&after, &project, "debuglink");
}

fn all_owners(project: &Project, label: &str) {
    let info = alone(&project.image);
    for (function, source) in FUNCTIONS {
        let (owner, ..) = owner_of(&info, project, function);
        assert_eq!(owner, source, "{label} {function}");
    }
}
