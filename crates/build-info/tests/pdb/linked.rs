use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use build_info::pdb::{read, symbol, symbol_at};
use build_info::{BuildInfo, Kind, Questions, Quoting};

use crate::big::{self, Shape};
use crate::large::large;
use crate::msf::{self, Layout};
use crate::{maker, second};

const SMALL: Shape =
    Shape { units: 6, headers: 30, per_unit: 12, functions: 5, blocks: 2, apart: true };

/// A program of six units, or that the tools are not here.
fn small(directory: &Path) -> Option<Vec<u8>> {
    let made = big::make(&SMALL, directory);
    if made.is_none() {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "clang and lld are missing");
        println!("skipped: clang and lld are missing");
    }
    made.map(|path| fs::read(path).unwrap())
}

fn all(bytes: &[u8]) -> BuildInfo {
    read(bytes, &Questions::ALL).unwrap()
}

#[test]
fn two_other_readers_give_the_same_for_what_lld_links() {
    let directory = tempfile::tempdir().unwrap();
    let Some(bytes) = small(directory.path()) else { return };
    let info = all(&bytes);
    assert_eq!(info.remarks, [] as [String; 0]);
    let theirs = second::read(std::io::Cursor::new(bytes.clone())).unwrap();
    assert_eq!(second::table(&info), second::table(&theirs));
    let path = directory.path().join("big.pdb");
    let Some(tool) = big::tool(&["llvm-pdbutil-19", "llvm-pdbutil"]) else { return };
    let dump = |arguments: &[&str]| {
        let output = Command::new(tool).arg("dump").args(arguments).arg(&path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let modules = dump(&["-modules"]);
    let names: Vec<&str> = modules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("Mod ")?.split('`').nth(1))
        .collect();
    let ours: Vec<&str> = info.units.iter().map(|unit| unit.module.as_str()).collect();
    assert_eq!(names, ours);
    let contributions = dump(&["-section-contribs"]);
    let sizes: Vec<(u32, u32)> = contributions
        .lines()
        .filter_map(|line| {
            let module = line.split("mod = ").nth(1)?.split(',').next()?;
            let size = contributions_size(line)?;
            Some((size, module.trim().parse().ok()?))
        })
        .collect();
    let mut ours: Vec<_> = info.contributions.iter().map(|it| (it.size, it.unit.0)).collect();
    let mut theirs: Vec<_> = sizes.into_iter().filter(|(size, _)| *size > 0).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

fn contributions_size(line: &str) -> Option<u32> {
    line.split("size = ").nth(1)?.split(',').next()?.trim().parse().ok()
}

#[test]
fn each_header_that_has_code_is_known_to_be_in_its_units() {
    let directory = tempfile::tempdir().unwrap();
    let Some(bytes) = small(directory.path()) else { return };
    let info = all(&bytes);
    for unit in info.units.iter().filter(|unit| unit.module.contains("unit_")) {
        let name = unit.module.split('/').next_back().unwrap().strip_suffix(".obj").unwrap();
        let number: usize = name.strip_prefix("unit_").unwrap().parse().unwrap();
        // The objects are copies of units that are numbered from 90,000 on.
        let source =
            fs::read_to_string(directory.path().join(format!("unit_{}.cpp", 90_000 + number)));
        let source = source.unwrap();
        let includes = source.lines().filter_map(|line| line.strip_prefix("#include \""));
        let mut expected: Vec<String> = includes
            .map(|line| line.trim_end_matches('"').to_owned())
            .filter(|line| !line.ends_with("9.h"))
            .collect();
        expected.push(format!("{name}.cpp"));
        expected.sort_unstable();
        let paths = unit.files.iter().map(|it| info.files[it.file.0 as usize].path.as_str());
        let mut paths: Vec<String> = paths
            .map(|path| {
                path.split("/inc/").nth(1).unwrap_or(path.rsplit('/').next().unwrap()).to_owned()
            })
            .collect();
        paths.sort_unstable();
        assert_eq!(paths, expected, "{name}");
        assert_eq!(unit.kind, Kind::Source);
        assert_eq!(unit.source.as_ref().unwrap().value, format!("{name}.cpp"));
        let build_info::Command::Line { raw, quoting, cut, .. } =
            &unit.command.as_ref().unwrap().value
        else {
            panic!("{unit:?}");
        };
        assert!(raw.starts_with("\"-cc1\" ") && *quoting == Quoting::Posix && !cut, "{raw}");
        let cwd = fs::canonicalize(directory.path()).unwrap();
        assert_eq!(Path::new(&unit.cwd.as_ref().unwrap().value), cwd);
    }
    let linker = info.linker.unwrap();
    assert!(linker.command.is_some() && linker.pdb.is_some() && linker.cwd.is_some());
}

#[test]
fn symbols_are_found_by_either_name_and_belong_to_their_units() {
    let directory = tempfile::tempdir().unwrap();
    let Some(bytes) = small(directory.path()) else { return };
    let info = all(&bytes);
    let owner = |address: u64| {
        let owners = info.owners(address);
        info.units[owners.owner().unwrap().unit.0 as usize].module.clone()
    };
    for unit in 0..6 {
        for name in [
            format!("entry_{unit:05}"),
            format!("game::unit_{unit:05}::update_003"),
            format!("?update_003@unit_{unit:05}@game@@YAHHM@Z"),
            format!("?table_{unit:05}@unit_{unit:05}@game@@3PAHA"),
        ] {
            let found = symbol(&bytes, &name).unwrap();
            assert_eq!(found.len(), 1, "{name}");
            assert!(owner(found[0]).contains(&format!("unit_{unit:05}")), "{name}");
            let there = symbol_at(&bytes, found[0] + 2).unwrap().unwrap();
            assert_eq!(there.address, found[0]);
            assert_eq!(symbol(&bytes, &there.name).unwrap(), found);
        }
        // Static: no public symbol has it.
        let name = format!("game::unit_{unit:05}::counter_{unit:05}");
        assert_eq!(symbol(&bytes, &name).unwrap().len(), 1, "{name}");
    }
    assert_eq!(symbol(&bytes, "no such thing").unwrap(), [] as [u64; 0]);
    assert_eq!(symbol(&bytes, "").unwrap(), [] as [u64; 0]);
    assert_eq!(symbol_at(&bytes, 0).unwrap(), None);
}

#[test]
fn what_lld_links_reads_the_same_in_every_layout() {
    let directory = tempfile::tempdir().unwrap();
    let Some(bytes) = small(directory.path()) else { return };
    let expected = all(&bytes);
    let streams = msf::streams(&bytes);
    for page_size in [1024, 4096, 32768, 65536] {
        for scattered in [false, true] {
            let file = msf::write(&streams, &Layout { page_size, scattered, skip: 5 });
            assert_eq!(all(&file), expected);
        }
    }
    let path = directory.path().join("far.pdb");
    let layout = Layout { page_size: 4096, skip: 1 << 20, scattered: true };
    msf::write_sparse(&streams, &layout, &path);
    assert_eq!(read(&File::open(&path).unwrap(), &Questions::ALL).unwrap(), expected);
}

#[test]
fn a_command_that_clang_cuts_is_said_to_be_cut() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["clang-cl-19", "clang-19", "clang-cl", "clang"];
    let (Some(compiler), Some(linker)) =
        (big::tool(&names), big::tool(&["lld-link-19", "lld-link"]))
    else {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "clang and lld are missing");
        return println!("skipped: clang and lld are missing");
    };
    fs::write(directory.path().join("a b.cpp"), "extern \"C\" int entry() { return 0; }").unwrap();
    for (count, is_cut) in [(4, false), (3000, true)] {
        let options: String =
            (0..count).map(|it| format!("/DSOME_LONG_NAME_{it}=\"a \\\\ $b\"\n")).collect();
        fs::write(directory.path().join("options"), options).unwrap();
        let compile = Command::new(compiler)
            .current_dir(directory.path())
            .args(["--driver-mode=cl", "/c", "/Z7", "--target=x86_64-pc-windows-msvc", "/Zl"])
            .args(["@options", "/Foa.obj", "a b.cpp"])
            .output()
            .unwrap();
        assert!(compile.status.success(), "{}", String::from_utf8_lossy(&compile.stderr));
        let link = Command::new(linker)
            .current_dir(directory.path())
            .args(["/debug", "/nodefaultlib", "/entry:entry", "/subsystem:console", "a.obj"])
            .output()
            .unwrap();
        assert!(link.status.success(), "{}", String::from_utf8_lossy(&link.stdout));
        let info = all(&fs::read(directory.path().join("a.pdb")).unwrap());
        let build_info::Command::Line { raw, cut, .. } =
            &info.units[0].command.as_ref().unwrap().value
        else {
            panic!("{info:?}");
        };
        assert_eq!(*cut, is_cut, "{} bytes", raw.len());
        if !is_cut {
            // As shells read it: a backslash and a dollar are escaped.
            assert!(raw.contains(r#""SOME_LONG_NAME_3=a \\\\ \$b""#), "{raw}");
        }
    }
}

#[test]
fn identifiers_are_not_looked_for_where_there_are_none() {
    // As in Visual Studio 2008, whose fourth stream is something else.
    let pdb = maker::Pdb { features: vec![], ids: vec![vec![0xff; 100]], ..maker::Pdb::new() };
    let info = all(&msf::write(&pdb.streams(), &msf::PLAIN));
    assert!(info.units[0].command.is_none());
}

#[test]
fn large_ones_are_the_same_table_with_another_reader() {
    if std::env::var_os("LARGE_PDBS").is_none() {
        return println!("skipped: LARGE_PDBS is not set");
    }
    for path in large() {
        let ours = read(&File::open(&path).unwrap(), &Questions::ALL).unwrap();
        let theirs = second::read(File::open(&path).unwrap()).unwrap();
        assert!(ours.units.len() > 1400);
        assert!(second::table(&ours) == second::table(&theirs), "{}", path.display());
    }
}

/// Compiles and links in a directory, and gives what the PDB says; `None` without the tools.
fn linked(compile: &[&str], link: &[&str], pdb: &str, directory: &Path) -> Option<BuildInfo> {
    for command in [compile, link] {
        let (program, arguments) = command.split_first().unwrap();
        let Ok(output) = Command::new(program).current_dir(directory).args(arguments).output()
        else {
            assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "{program} is missing");
            println!("skipped: {program} is missing");
            return None;
        };
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
    Some(all(&fs::read(directory.join(pdb)).unwrap()))
}

const LINK: [&str; 5] =
    ["lld-link-19", "/debug", "/nodefaultlib", "/entry:entry", "/subsystem:console"];

#[test]
fn code_that_is_generated_when_linking_is_of_no_one_source() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.cpp"), "extern \"C\" int entry() { return 1; }").unwrap();
    for how in ["-flto", "-flto=thin"] {
        let compile = ["clang-19", "--driver-mode=cl", "/c", "/Z7", "/Zl", how, TARGET, "a.cpp"];
        let link = [&LINK[..], &["a.obj"]].concat();
        let Some(info) = linked(&compile, &link, "a.pdb", directory.path()) else { return };
        assert_eq!(info.units[0].kind, Kind::LinkTimeCode, "{how}: {:?}", info.units[0].module);
    }
}

#[test]
fn a_program_of_mingw_is_told_from_its_runtime_and_its_imports() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.c"), "#include <stdio.h>\nint main() { puts(\"\"); }")
        .unwrap();
    let target = "--target=x86_64-w64-mingw32";
    let compile = ["clang-19", target, "-g", "-gcodeview", "-c", "a.c"];
    let link = ["clang-19", target, "-fuse-ld=lld-19", "-Wl,--pdb=a.pdb", "a.o", "-o", "a.exe"];
    let Some(info) = linked(&compile, &link, "a.pdb", directory.path()) else { return };
    let of = |kind: Kind| info.units.iter().filter(|unit| unit.kind == kind).count();
    assert_eq!((of(Kind::Source), of(Kind::Linker)), (1, 1));
    assert!(of(Kind::Import) > 10 && of(Kind::Runtime) > 10);
    let unit = info.units.iter().find(|unit| unit.kind == Kind::Source).unwrap();
    assert!(unit.module.ends_with("/a.o"));
    assert_eq!(unit.source.as_ref().unwrap().value, "a.c");
}

#[test]
fn a_unit_of_rust_has_a_directory_and_a_source_and_no_command() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.rs"), NO_CORE).unwrap();
    // A crate without any other needs what only an unstable compiler lets it say.
    let compiled = Command::new("rustc")
        .current_dir(directory.path())
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["--target=x86_64-pc-windows-msvc", "-g", "-Cpanic=abort", "--emit=obj", "-oa.obj"])
        .arg("a.rs")
        .output()
        .unwrap();
    if !compiled.status.success() {
        let why = String::from_utf8_lossy(&compiled.stderr);
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "{why}");
        return println!("skipped: what such a crate needs differs in this compiler: {why}");
    }
    let link = [&LINK[..], &["a.obj"]].concat();
    let Some(info) = linked(&["rustc", "--version"], &link, "a.pdb", directory.path()) else {
        return;
    };
    let unit = &info.units[0];
    assert_eq!(unit.language.as_deref(), Some("Rust"));
    assert!(unit.producer.as_ref().unwrap().contains("rustc"));
    assert!(unit.source.as_ref().unwrap().value.starts_with("a.rs"));
    let cwd = fs::canonicalize(directory.path()).unwrap();
    assert_eq!(Path::new(&unit.cwd.as_ref().unwrap().value), cwd);
    assert!(unit.command.is_none() && unit.compiler.is_none());
    let path = &info.files[unit.files[0].file.0 as usize].path;
    assert_eq!(Path::new(path), cwd.join("a.rs"));
}

const TARGET: &str = "--target=x86_64-pc-windows-msvc";
const NO_CORE: &str = r#"
#![feature(no_core, lang_items, auto_traits)]
#![no_core]
#![crate_type = "lib"]
#![allow(internal_features)]
#[lang = "pointee_sized"]
pub trait PointeeSized {}
#[lang = "meta_sized"]
pub trait MetaSized: PointeeSized {}
#[lang = "sized"]
pub trait Sized: MetaSized {}
#[lang = "copy"]
pub trait Copy {}
impl Copy for i32 {}
#[lang = "freeze"]
unsafe auto trait Freeze {}
#[unsafe(no_mangle)]
pub extern "C" fn entry() -> i32 { 3 }
"#;
