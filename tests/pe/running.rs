//! Patched images load and run, and dbghelp finds the renamed PDB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pe_patch::{Image, PdbPathOptions, Rung, Signature, plan_pdb_path};
use reloader_tests::tool;

use crate::reader::Reader;
use crate::wine::{Wine, windows_path, wine};
use crate::{images, made};

/// `twice(5)` of the images made here.
const TWICE: &str = "twice(5) = 148";

/// What the programs made here end with.
const ENDING: i32 = 48;

#[test]
fn a_library_loads_from_whatever_rung_its_path_is_on() {
    let (Some(wine), Some(program)) = (wine(), symbols()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut rungs = Vec::new();
    for (name, last) in [
        ("lld-x64.dll", Rung::NewSection),
        ("lld-merged.dll", Rung::NewSection),
        ("lld-align4k.dll", Rung::Tail),
        ("mingw-x64.dll", Rung::NewSection),
        ("zig-x64.dll", Rung::NewSection),
    ] {
        let Some(image) = made::image(name) else { continue };
        for length in [10, 100, 200, 3000] {
            let path = format!("Z:\\{}.pdb", "p".repeat(length));
            let (patched, rung) = patched(&image, &path, directory.path());
            files.push(patched);
            rungs.push(rung);
        }
        assert_eq!(rungs.last(), Some(&last), "{name}");
        // Without room for another section's header the last section grows, unless symbols follow.
        if !name.starts_with("mingw") {
            let crowded = directory.path().join(format!("crowded-{name}"));
            fs::write(&crowded, without_header_room(fs::read(image).unwrap())).unwrap();
            let path = format!("Z:\\{}.pdb", "p".repeat(5000));
            let (patched, rung) = patched(&crowded, &path, directory.path());
            assert_eq!(rung, Rung::LastSection, "{name}");
            files.push(patched);
            rungs.push(rung);
        }
    }
    for (file, said) in files.iter().zip(run(wine, program, &files)) {
        assert!(said.contains(TWICE), "{}: {said}", file.display());
        // Only the exported functions have names now.
        assert!(said.contains("symbol = none"), "{}: {said}", file.display());
    }
    println!("{rungs:?}");
    for rung in [Rung::Record, Rung::Tail, Rung::NewSection, Rung::LastSection] {
        assert!(rungs.contains(&rung) || files.is_empty(), "{rung}: {rungs:?}");
    }
}

#[test]
fn every_image_that_the_loader_takes_is_taken_with_each_path_and_shows_it_in_memory() {
    let (Some(wine), Some(program)) = (wine(), loads()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (mut files, mut paths) = (Vec::new(), Vec::new());
    let images = images();
    let images: Vec<&PathBuf> = images
        .iter()
        .filter(|it| !Reader::new(&fs::read(it).unwrap()).codeviews().is_empty())
        .collect();
    for (index, image) in images.iter().enumerate() {
        // Each in a directory of its own: the loader knows libraries by their names.
        let own = directory.path().join(index.to_string());
        fs::create_dir(&own).unwrap();
        let unpatched = own.join(image.file_name().unwrap());
        fs::copy(image, &unpatched).unwrap();
        files.push(unpatched);
        paths.push(String::new());
        for length in [10, 150, 3000] {
            let path = format!("{length}-{}.pdb", "p".repeat(length));
            let (patched, _) = patched(image, &path, &own);
            files.push(patched);
            paths.push(path);
        }
    }
    let list = directory.path().join("list");
    let lines: Vec<String> = files.iter().map(|file| windows_path(file)).collect();
    fs::write(&list, lines.join("\n")).unwrap();
    let output = wine.run(program, [windows_path(&list)]);
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), files.len(), "{output:?}");

    let mut loaded = 0;
    for ((said, paths), files) in said.chunks(4).zip(paths.chunks(4)).zip(files.chunks(4)) {
        for ((line, path), file) in said.iter().zip(paths).zip(files).skip(1) {
            // What this loader does not take, it does not take for the same reason as before.
            let expected = match said[0].starts_with("loaded") {
                true => format!("loaded {path}"),
                false => said[0].to_owned(),
            };
            assert_eq!(*line, expected, "{}", file.display());
        }
        loaded += usize::from(said[0].starts_with("loaded"));
    }
    println!("{loaded} of {} images load here", images.len());
    assert!(loaded > 0);
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
    let (Some(wine), Some(program)) = (wine(), symbols()) else { return };
    // Under other names and in other places than the images, so that nothing finds them by chance.
    let (images, pdbs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut files, mut names, mut rungs) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["lld-x64.dll", "lld-checksum.dll", "lld-merged.dll", "zig-x64.dll"] {
        let Some(image) = made::image(name) else { continue };
        for depth in [0, 1, 12] {
            let place = pdbs.path().join(name).join("d/".repeat(2 * depth));
            fs::create_dir_all(&place).unwrap();
            // dbghelp has room for paths of 260 characters.
            let pdb = place.join(format!("renamed-{}.pdb", "n".repeat(12 * depth)));
            fs::copy(image.with_extension("pdb"), &pdb).unwrap();
            let mut bytes = fs::read(&image).unwrap();
            for room in ["all", "no-tails", "none"] {
                match room {
                    "no-tails" => fill_tails(&mut bytes),
                    "none" => bytes = without_header_room(bytes),
                    _ => {}
                }
                let cramped = images.path().join(format!("{room}-{name}"));
                fs::write(&cramped, &bytes).unwrap();
                let (patched, rung) = patched(&cramped, &windows_path(&pdb), images.path());
                files.push(patched);
                names.push(windows_path(&pdb));
                rungs.push(rung);
            }
        }
    }
    for ((file, name), said) in files.iter().zip(&names).zip(run(wine, program, &files)) {
        assert!(said.contains(TWICE), "{}: {said}", file.display());
        assert!(said.contains("symbol = hidden_helper;"), "{}: {said}", file.display());
        assert!(said.ends_with(&format!("pdb = {name}")), "{}: {said}", file.display());
    }
    println!("{rungs:?}");
    for rung in [Rung::Record, Rung::Tail, Rung::NewSection, Rung::LastSection] {
        assert!(rungs.contains(&rung) || files.is_empty(), "{rung}: {rungs:?}");
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

/// The image with other bytes where the headers have room for another section's.
fn without_header_room(mut bytes: Vec<u8>) -> Vec<u8> {
    let reader = Reader::new(&bytes);
    let room = reader.section_table + 40 * reader.sections.len();
    let end = reader.size_of_headers() as usize;
    bytes[room..end].fill(b'Z');
    bytes
}

/// Puts other bytes where sections have unused ones.
fn fill_tails(bytes: &mut [u8]) {
    for section in Reader::new(bytes).sections {
        let (used, all) = (section.virtual_size.min(section.raw_size), section.raw_size);
        bytes[(section.raw + used) as usize..(section.raw + all) as usize].fill(b'Z');
    }
}

/// What `symbols.exe` says of each image.
pub fn run(wine: &Wine, program: &Path, images: &[PathBuf]) -> Vec<String> {
    let output = wine.run(program, images.iter().map(|image| windows_path(image)));
    assert!(output.status.success(), "{output:?}");
    let said: Vec<String> =
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(said.len(), images.len(), "{said:?}");
    said
}

/// `symbols.exe`.
pub fn symbols() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    built(&PROGRAM, "symbols")
}

/// `loads.exe`.
fn loads() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    built(&PROGRAM, "loads")
}

/// A Windows program, built once from the C source beside this file.
fn built(program: &'static OnceLock<Option<PathBuf>>, name: &str) -> Option<&'static Path> {
    let program = program.get_or_init(|| {
        let gcc = tool("x86_64-w64-mingw32-gcc")?;
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.exe"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("pe/{name}.c"));
        let unfinished = tempfile::NamedTempFile::new_in(program.parent().unwrap()).unwrap();
        let output = Command::new(gcc.0)
            .args(["-O1", "-Wall", "-o"])
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
