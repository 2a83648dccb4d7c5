//! What it costs to ask a second time, of a PDB with 4,000 units: the whole program's processor
//! time, from start to end, which does not depend on what else the machine does.
//!
//! `cargo bench -p reloader-cli --bench again`. The PDB is made by clang and lld and kept in the
//! target directory.

#[path = "../../build-info/tests/pdb/big.rs"]
mod big;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let shape = big::Shape {
        units: 4000,
        headers: 1500,
        per_unit: 60,
        functions: 40,
        blocks: 0,
        apart: false,
    };
    let Some(pdb) = big::make(&shape, &kept.join("pdb-wide")) else {
        return println!("clang and lld are not here");
    };
    let cache = tempfile::tempdir().unwrap();
    let runs = if std::env::args().any(|argument| argument == "--test") { 1 } else { 50 };
    let header = "module_004/component_header_00112.h";
    let questions: [&[&str]; 10] = [
        &["units"],
        &["affected", header],
        &["affected", header, "--commands"],
        &["affected", header, "--json"],
        &["owner", "0x1234"],
        &["owner", "0x1234", "--json"],
        &["units", "--json"],
        &["units", "--long"],
        &["compile-commands"],
        &["build-report", "-o", "/dev/null"],
    ];
    // The first asks for all there is.
    let printed = ask(&pdb, cache.path(), questions[0], true);
    println!("the program alone: {:.1} ms", cost(runs, || run(["--version"], false)));
    println!(
        "units, not kept: {:.1} ms",
        cost(runs.min(5), || {
            let words = [words(&pdb, questions[0]), vec!["--no-cache".into()]].concat();
            run(words, false)
        })
    );
    assert_eq!(ask(&pdb, cache.path(), questions[0], true), printed);
    for question in questions {
        let written = ask(&pdb, cache.path(), question, true).len();
        let cost = cost(runs, || ask(&pdb, cache.path(), question, false));
        println!("{}: {cost:.1} ms, {written} bytes", question.join(" "));
    }
}

/// Asks what is kept.
fn ask(pdb: &Path, cache: &Path, question: &[&str], listen: bool) -> Vec<u8> {
    let place = ["--cache-dir".into(), cache.to_str().unwrap().to_owned()];
    run([words(pdb, question), place.to_vec()].concat(), listen)
}

fn words(pdb: &Path, question: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = question.iter().map(|&word| word.to_owned()).collect();
    words.insert(1, pdb.to_str().unwrap().to_owned());
    words
}

/// What the program prints, if that is listened to.
fn run<W: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = W>, listen: bool) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reloader"));
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(if listen { Stdio::piped() } else { Stdio::null() });
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// Milliseconds of processor time that each of some runs takes.
fn cost(runs: u32, run: impl Fn() -> Vec<u8>) -> f64 {
    let before = children();
    (0..runs).for_each(|_| drop(run()));
    (children() - before) / f64::from(runs)
}

/// Milliseconds of processor time that ended children have taken.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The 16th and 17th field, in ticks of which there are a hundred in a second.
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}
