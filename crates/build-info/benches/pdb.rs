//! What reading large PDBs costs, as a whole process: its CPU time and its peak of memory, beside
//! the `pdb` crate that fills the same model, and `llvm-pdbutil` that prints the same facts.
//!
//! `cargo bench -p build-info --bench pdb`; `PDB=/path/to/a.pdb` reads that one too. The large ones
//! are made by clang and lld and kept in the target directory.

#[path = "../tests/pdb/big.rs"]
mod big;
#[path = "../tests/pdb/large.rs"]
mod large;
mod processes;
#[path = "../tests/pdb/second.rs"]
mod second;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_info::{Questions, pdb};
use criterion::Criterion;
use processes::{beside, has_been, in_turns, spent};

fn main() {
    if has_been(child) {
        return;
    }
    let mut paths = large::large();
    paths.extend(std::env::var_os("PDB").map(PathBuf::from));
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for path in &paths {
        let megabytes = std::fs::metadata(path).unwrap().len() / 1_000_000;
        let mut group = criterion.benchmark_group(format!("{megabytes} MB"));
        let file = File::open(path).unwrap();
        for (name, questions) in QUESTIONS {
            group.bench_function(name, |bencher| {
                bencher.iter(|| pdb::read(&file, &questions).unwrap().units.len());
            });
        }
        group.finish();
        let theirs = second::read(File::open(path).unwrap()).unwrap();
        let ours = pdb::read(&file, &Questions::ALL).unwrap();
        assert!(second::table(&ours) == second::table(&theirs), "the readers differ");
        drop((ours, theirs));
        processes(path, megabytes);
    }
    criterion.final_summary();
}

/// Each reader in processes of its own, in turns, and LLVM's tool.
fn processes(path: &Path, megabytes: u64) {
    let ours = in_turns(&READERS, &format!("{megabytes} MB"), path);
    let Some(tool) = big::tool(&["llvm-pdbutil-19", "llvm-pdbutil"]) else {
        println!("llvm-pdbutil is not here");
        return;
    };
    let mut dump = Command::new(tool);
    dump.args(["dump", "-modules", "-files", "-section-contribs"]).arg(path).stdout(Stdio::null());
    assert!(beside(&mut dump, &format!("{megabytes} MB, {tool}"), ours));
}

fn child(reader: &str, path: &Path) {
    let file = File::open(path).unwrap();
    let info = match reader {
        "build-info" => pdb::read(&file, &Questions::ALL).unwrap(),
        _ => second::read(file).unwrap(),
    };
    assert!(info.units.len() > 1 && !info.contributions.is_empty());
    spent();
    // What it takes to give the memory back is not the question.
    std::mem::forget(info);
}

const READERS: [&str; 2] = ["build-info", "pdb"];
const QUESTIONS: [(&str, Questions); 3] = [
    ("everything", Questions::ALL),
    ("units and files", Questions::FILES),
    ("units", Questions { commands: false, files: false, contributions: false }),
];
