//! Readers measured as whole processes: this program again, asked to be one of them.

use std::path::Path;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

const CHILD: &str = "BUILD_INFO_BENCH_CHILD";
const READER: &str = "BUILD_INFO_BENCH_READER";

/// Is the reader that this process has been asked to be, if it has.
pub fn has_been(child: fn(&str, &Path)) -> bool {
    let (Some(reader), Some(path)) = (std::env::var_os(READER), std::env::var_os(CHILD)) else {
        return false;
    };
    child(&reader.to_string_lossy(), Path::new(&path));
    true
}

/// How many turns there are.
pub fn rounds() -> usize {
    if std::env::args().any(|argument| argument == "--test") { 1 } else { 9 }
}

/// Each reader in processes of its own, in turns, the first of them ours, whose milliseconds of CPU
/// are the answer.
pub fn in_turns<const N: usize>(readers: &[&str; N], name: &str, path: &Path) -> f64 {
    let mut seen: [Vec<(f64, f64)>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds() {
        for (reader, seen) in readers.iter().zip(&mut seen) {
            seen.push(run(reader, path));
        }
    }
    let medians = seen.map(|mut runs| {
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        runs[runs.len() / 2]
    });
    let (ours, _) = medians[0];
    for (reader, (cpu, memory)) in readers.iter().zip(medians) {
        println!(
            "{name}, {reader}: {cpu:.1} ms of CPU, {memory:.1} MB at most; build-info takes {:.3} \
             of it",
            ours / cpu
        );
    }
    ours
}

/// A tool in turns of its own, beside what ours has taken. Whether it is there and works.
pub fn beside(command: &mut Command, name: &str, ours: f64) -> bool {
    let mut times = Vec::new();
    for _ in 0..rounds().min(3) {
        let before = children();
        if !command.status().is_ok_and(|status| status.success()) {
            return false;
        }
        times.push(children() - before);
    }
    times.sort_by(f64::total_cmp);
    let theirs = times[times.len() / 2];
    println!("{name}: {theirs:.0} ms of CPU; {:.1} times what build-info takes", theirs / ours);
    true
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

/// Says what this process has taken so far.
pub fn spent() {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let peak: f64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("{} {}", spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6, peak / 1024.0);
}

/// Milliseconds of CPU that ended children have taken.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The 16th and 17th field, in ticks of which there are a hundred in a second.
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() * 10.0).sum()
}
