//! Patched images load and run, and dbghelp finds the renamed PDB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pe_patch::{Image, PdbPathOptions, Rung, Signature, plan_pdb_path};
use reloader_tests::tool;

use crate::made;
use crate::wine::{Wine, windows_path, wine};

/// `twice(5)` of the images made here.
const TWICE: &str = "twice(5) = 148";

/// What the programs made here end with.
const ENDING: i32 = 48;

#[test]
fn a_library_loads_from_whatever_rung_its_path_is_on() {
    let Some(wine) = wine() else { return };
    for name in ["lld-x64.dll", "lld-merged.dll", "lld-align4k.dll", "mingw-x64.dll", "zig-x64.dll"]
    {
        let (Some(image), Some(program)) = (made::image(name), symbols()) else { continue };
        let directory = tempfile::tempdir().unwrap();
        for growth in [0, 1, 100, 3000] {
            let path = format!("Z:\\{}.pdb", "p".repeat(100 + growth));
            let (patched, rung) = patched(&image, &path, directory.path());
            let said = run(wine, program, &patched);
            assert!(said.contains(TWICE), "{name}, {rung}: {said}");
            // Only the exported functions have names now.
            assert!(said.contains("symbol = none"), "{name}, {rung}: {said}");
        }
    }
}

#[test]
fn a_program_runs_from_whatever_rung_its_path_is_on() {
    let Some(wine) = wine() else { return };
    for name in ["lld-program.exe", "mingw-program.exe"] {
        let Some(image) = made::image(name) else { continue };
        let directory = tempfile::tempdir().unwrap();
        let mut rungs = Vec::new();
        let unpatched = wine.run(&image, [""; 0]);
        assert_eq!(unpatched.status.code(), Some(ENDING), "{name}: {unpatched:?}");
        for length in [5, 100, 200, 3000] {
            let path = format!("{}.pdb", "p".repeat(length));
            let (patched, rung) = patched(&image, &path, directory.path());
            let output = wine.run(&patched, [""; 0]);
            assert_eq!(output.status.code(), Some(ENDING), "{name}, {rung}: {output:?}");
            rungs.push(rung);
        }
        assert!(rungs.contains(&Rung::NewSection), "{name}: {rungs:?}");
    }
}

#[test]
fn dbghelp_finds_a_function_through_the_renamed_pdb() {
    let Some(wine) = wine() else { return };
    for name in ["lld-x64.dll", "lld-brepro.dll", "lld-checksum.dll", "zig-x64.dll"] {
        let (Some(image), Some(program)) = (made::image(name), symbols()) else { continue };
        let mut rungs = Vec::new();
        for depth in [0, 1, 12] {
            // Under another name and in another place, so that nothing finds it by chance.
            let directory = tempfile::tempdir().unwrap();
            let place = directory.path().join("d/".repeat(2 * depth));
            fs::create_dir_all(&place).unwrap();
            let pdb = place.join(format!("renamed-{}.pdb", "n".repeat(15 * depth)));
            fs::copy(image.with_extension("pdb"), &pdb).unwrap();
            let images = tempfile::tempdir().unwrap();
            let (patched, rung) = patched(&image, &windows_path(&pdb), images.path());
            let said = run(wine, program, &patched);
            assert!(said.contains(TWICE), "{name}, {rung}: {said}");
            assert!(said.contains("symbol = hidden_helper"), "{name}, {rung}: {said}");
            // dbghelp has room for 256 characters there.
            let found: String = format!("pdb = {}", windows_path(&pdb)).chars().take(250).collect();
            assert!(said.contains(&found), "{name}, {rung}: {said}");
            rungs.push(rung);
        }
        assert!(rungs.iter().any(|rung| *rung >= Rung::Tail), "{name}: {rungs:?}");
    }
}

/// A copy of an image with this PDB path, alone in a directory, and the rung that took.
fn patched(image: &Path, path: &str, directory: &Path) -> (PathBuf, Rung) {
    let bytes = fs::read(image).unwrap();
    let options = PdbPathOptions { signature: Signature::Strip, ..PdbPathOptions::default() };
    let planned = plan_pdb_path(&Image::parse(&bytes).unwrap(), path, &options).unwrap();
    let name = format!("{}-{}", path.len(), image.file_name().unwrap().to_str().unwrap());
    let target = directory.join(name);
    planned.plan.write_file(image, &target, &patch_plan::WriteOptions::default()).unwrap();
    (target, planned.report.entries[0].rung)
}

/// What `symbols.exe` says of an image.
pub fn run(wine: &Wine, program: &Path, image: &Path) -> String {
    let output = wine.run(program, [windows_path(image)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {output:?}", image.display());
    said
}

/// `symbols.exe`, built once.
pub fn symbols() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let gcc = tool("x86_64-w64-mingw32-gcc")?;
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("symbols.exe");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("pe/symbols.c");
        let unfinished = tempfile::NamedTempFile::new_in(program.parent().unwrap()).unwrap();
        let output = Command::new(gcc.0)
            .args(["-O1", "-o"])
            .arg(unfinished.path())
            .arg(source)
            .arg("-ldbghelp")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        unfinished.persist(&program).unwrap();
        Some(program)
    });
    if program.is_none() {
        tool("x86_64-w64-mingw32-gcc")?;
    }
    program.as_deref()
}
