//! What readers make of damaged files: each reads each mutant in a process of its own, and it is
//! counted how these end. It is no question of time.
//!
//! `cargo bench -p build-info --bench damage`; `MUTANTS=5000` for so many instead of 900.

#[path = "../tests/pdb/big.rs"]
mod big;
#[path = "../tests/dwarf/mutant.rs"]
mod damaged_image;
#[path = "../tests/pdb/mutant.rs"]
mod damaged_pdb;
#[path = "../tests/support/dice.rs"]
mod dice;
#[path = "../tests/pdb/msf.rs"]
mod msf;
#[path = "../tests/pdb/second.rs"]
mod second;

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use build_info::{Questions, elf, pdb};
use gimli::{EndianSlice, RunTimeEndian};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, reader, path] = &*arguments
        && IN_HERE.contains(&reader.as_str())
    {
        return read(reader, Path::new(path));
    }
    let asked = std::env::var("MUTANTS").ok().and_then(|count| count.parse().ok());
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let count = asked.unwrap_or(if is_test { 5 } else { 900 });
    let directory = tempfile::tempdir().unwrap();
    pdbs(count, directory.path());
    images(count, directory.path());
}

/// Readers that are part of this program, which is started again for each mutant.
const IN_HERE: [&str; 4] =
    ["build-info, PDB", "pdb 0.8", "build-info, DWARF", "gimli, its ordinary interface"];

fn pdbs(count: usize, directory: &Path) {
    let shape =
        big::Shape { units: 4, headers: 12, per_unit: 6, functions: 3, blocks: 1, apart: true };
    let Some(path) = big::make(&shape, &directory.join("pdb")) else {
        return println!("clang and lld are not here");
    };
    let seed = msf::streams(&std::fs::read(path).unwrap());
    // What is not damaged is the same to both.
    let whole = directory.join("whole.pdb");
    msf::write_sparse(&seed, &msf::PLAIN, &whole);
    let ours = pdb::read(&File::open(&whole).unwrap(), &Questions::ALL).unwrap();
    let theirs = second::read(File::open(&whole).unwrap()).unwrap();
    assert!(second::table(&ours) == second::table(&theirs), "the readers differ");
    let mut dice = dice::Dice(0x9e37_79b9_7f4a_7c15);
    let tool = ["dump", "-modules", "-files", "-section-contribs", "-ids", "-symbols"];
    let readers = [
        Reader { name: IN_HERE[0], tool: None },
        Reader { name: IN_HERE[1], tool: None },
        Reader { name: "llvm-pdbutil-19", tool: Some(&tool) },
    ];
    let mutants = (0..count).map(|_| damaged_pdb::mutant(&seed, &mut dice));
    report("PDBs", &readers, mutants, directory);
}

fn images(count: usize, directory: &Path) {
    let source = directory.join("small.c");
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"\"); return 0; }\n")
        .unwrap();
    let image = directory.join("image");
    let built = Command::new("gcc").arg("-g3").arg(&source).arg("-o").arg(&image).status();
    if !built.is_ok_and(|status| status.success()) {
        return println!("gcc is not here");
    }
    let seed = std::fs::read(image).unwrap();
    let places = damaged_image::debug_sections(&seed);
    let mut dice = dice::Dice(0x9e37_79b9_7f4a_7c15);
    let readers = [
        Reader { name: IN_HERE[2], tool: None },
        Reader { name: IN_HERE[3], tool: None },
        Reader { name: "llvm-dwarfdump-19", tool: Some(&["--show-sources"]) },
        Reader { name: "llvm-dwarfdump-19", tool: Some(&["--debug-info", "--debug-line"]) },
        Reader { name: "readelf", tool: Some(&["--debug-dump=info,rawline,macro,Ranges"]) },
        Reader { name: "eu-readelf", tool: Some(&["--debug-dump"]) },
    ];
    let mutants = (0..count).map(|_| damaged_image::mutant(&seed, &places, &mut dice));
    report("ELF images with DWARF", &readers, mutants, directory);
}

struct Reader<'a> {
    name: &'a str,
    /// Its options, where it is a program of its own.
    tool: Option<&'a [&'a str]>,
}

/// How readings end: an answer, an error, a panic or an abort or the like, or not.
#[derive(Clone, Copy, Default)]
struct Ends {
    answers: usize,
    errors: usize,
    crashes: usize,
    hangs: usize,
}

fn report(
    what: &str,
    readers: &[Reader<'_>],
    mutants: impl Iterator<Item = Vec<u8>>,
    directory: &Path,
) {
    let path = directory.join("mutant");
    let mut ends = vec![Ends::default(); readers.len()];
    let mut count = 0;
    for mutant in mutants {
        std::fs::write(&path, mutant).unwrap();
        count += 1;
        for (reader, ends) in readers.iter().zip(&mut ends) {
            reader.run(&path, ends);
        }
    }
    println!("{count} damaged {what}");
    for (reader, Ends { answers, errors, crashes, hangs }) in readers.iter().zip(&ends) {
        let how = reader.tool.map_or(String::new(), |options| format!(" {}", options.join(" ")));
        println!(
            "  {}{how}: {answers} answers, {errors} errors, {crashes} crashes, {hangs} hangs",
            reader.name
        );
        let is_ours = reader.name.starts_with("build-info");
        assert!(!is_ours || crashes + hangs == 0, "this crate must not");
    }
}

impl Reader<'_> {
    fn run(&self, path: &Path, ends: &mut Ends) {
        // A reader that wants more than 4 GB for a few KB is not to take the machine with it.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 4194304; exec \"$@\"", "sh"]);
        match self.tool {
            Some(options) => command.arg(self.name).args(options).arg(path),
            None => command.arg(std::env::current_exe().unwrap()).arg(self.name).arg(path),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begin = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if begin.elapsed() > PATIENCE => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    ends.hangs += 1;
                    return;
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => ends.answers += 1,
            (Some(PANIC), _) | (None, Some(_)) => ends.crashes += 1,
            (Some(127), _) => panic!("{} is not here", self.name),
            _ => ends.errors += 1,
        }
    }
}

/// How a program in Rust ends that has panicked.
const PANIC: i32 = 101;
const PATIENCE: Duration = Duration::from_secs(10);

/// Is one of the readers in here.
fn read(reader: &str, path: &Path) {
    let is_answer = match reader {
        "build-info, PDB" => pdb::read(&File::open(path).unwrap(), &Questions::ALL).is_ok(),
        "pdb 0.8" => second::read(File::open(path).unwrap()).is_ok(),
        "build-info, DWARF" => elf::read(&File::open(path).unwrap(), &Questions::ALL).is_ok(),
        _ => with_gimli(&std::fs::read(path).unwrap()).is_some(),
    };
    std::process::exit(if is_answer { 0 } else { 1 });
}

/// All entries and all line tables.
fn with_gimli(bytes: &[u8]) -> Option<usize> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(bytes).ok()?;
    let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok(EndianSlice::new(data.unwrap_or_default(), RunTimeEndian::Little))
    };
    let dwarf = gimli::Dwarf::load(load).ok()?;
    let mut count = 0;
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().ok()? {
        let unit = dwarf.unit(header).ok()?;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs().ok()? {
            count += entry.attrs().len();
        }
        if let Some(program) = unit.line_program.clone() {
            let mut rows = program.rows();
            while rows.next_row().ok()?.is_some() {
                count += 1;
            }
        }
    }
    Some(count)
}
