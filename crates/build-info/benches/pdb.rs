//! What reading large PDBs costs, as a whole process: its CPU time and its peak of memory, beside
//! the `pdb` crate that fills the same model, and `llvm-pdbutil` that prints the same facts.
//!
//! `cargo bench -p build-info --bench pdb`; `PDB=/path/to/a.pdb` reads that one too. The large ones
//! are made by clang and lld and kept in the target directory.

#[path = "../tests/pdb/big.rs"]
mod big;
#[path = "../tests/pdb/large.rs"]
mod large;
#[path = "../tests/pdb/second.rs"]
mod second;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_info::{Questions, pdb};
use criterion::Criterion;
use rustix::time::{ClockId, clock_gettime};

fn main() {
    if let (Some(reader), Some(path)) = (std::env::var_os(READER), std::env::var_os(CHILD)) {
        child(&reader.to_string_lossy(), Path::new(&path));
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

/// Each reader in processes of its own, in turns.
fn processes(path: &Path, megabytes: u64) {
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { 9 };
    let mut seen: [Vec<(f64, f64)>; READERS.len()] = Default::default();
    for _ in 0..rounds {
        for (reader, seen) in READERS.iter().zip(&mut seen) {
            seen.push(run(reader, path));
        }
    }
    let medians = seen.map(|mut runs| {
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        runs[runs.len() / 2]
    });
    let (ours, _) = medians[0];
    for (reader, (cpu, memory)) in READERS.iter().zip(medians) {
        println!(
            "{megabytes} MB, {reader}: {cpu:.1} ms of CPU, {memory:.1} MB at most; build-info \
             takes {:.2} of it",
            ours / cpu
        );
    }
    let Some(tool) = big::tool(&["llvm-pdbutil-19", "llvm-pdbutil"]) else {
        println!("llvm-pdbutil is not here");
        return;
    };
    let mut times: Vec<f64> = (0..rounds.min(3))
        .map(|_| {
            let before = children();
            let status = Command::new(tool)
                .args(["dump", "-modules", "-files", "-section-contribs"])
                .arg(path)
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success());
            children() - before
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let theirs = times[times.len() / 2];
    println!(
        "{megabytes} MB, {tool}: {theirs:.0} ms of CPU; {:.1} times what build-info takes",
        theirs / ours
    );
}

/// Milliseconds of CPU and megabytes of memory that a reader takes.
fn run(reader: &str, path: &Path) -> (f64, f64) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).env(READER, reader).env(CHILD, path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn child(reader: &str, path: &Path) {
    let file = File::open(path).unwrap();
    let info = match reader {
        "build-info" => pdb::read(&file, &Questions::ALL).unwrap(),
        _ => second::read(file).unwrap(),
    };
    assert!(info.units.len() > 1 && !info.contributions.is_empty());
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let peak: f64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("{} {}", spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6, peak / 1024.0);
    // What it takes to give the memory back is not the question.
    std::mem::forget(info);
}

/// Milliseconds of CPU that ended children have taken.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The 16th and 17th field, in ticks of which there are a hundred in a second.
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}

const READERS: [&str; 2] = ["build-info", "pdb"];
const QUESTIONS: [(&str, Questions); 3] = [
    ("everything", Questions::ALL),
    ("units and files", Questions::FILES),
    ("units", Questions { commands: false, files: false, contributions: false }),
];
const CHILD: &str = "BUILD_INFO_BENCH_CHILD";
const READER: &str = "BUILD_INFO_BENCH_READER";
