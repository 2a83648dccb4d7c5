//! Whole programs from their start to their end, which list the modules of a process that has 10,
//! 300 or 1,000: this one, with files and build IDs, gdb and lldb.
//!
//! `RELOADER=PATH` names the program `reloader`, whose `modules --json` is timed beside them.

mod support;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rendezvous::Process;
use support::{Targets, medians, ratio};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, pid] = &arguments[..]
        && flag == "--list"
    {
        return list(pid.parse().unwrap());
    }
    let Some(targets) = Targets::make() else { return };
    for count in [10, 300, 1000] {
        targets.with(count, |pid| compare(count, pid));
    }
}

fn compare(count: usize, pid: u32) {
    let pid = pid.to_string();
    let mut this = Command::new(std::env::current_exe().unwrap());
    this.args(["--list", &pid]);
    let mut reloader = std::env::var_os("RELOADER").map(Command::new);
    if let Some(reloader) = &mut reloader {
        reloader.args(["modules", "--json", &pid]);
    }
    let lldb = if has("lldb") { "lldb" } else { "lldb-19" };
    if !has("gdb") || !has(lldb) {
        return println!("skipped: there are not both gdb and lldb");
    }
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-p", &pid, "-ex", "info sharedlibrary"]);
    let mut lldb = Command::new(lldb);
    lldb.args(["--no-lldbinit", "--batch", "-p", &pid, "-o", "image list", "-o", "detach"]);
    let [ours, program, gdb, lldb] = medians(
        RUNS,
        [
            &mut || run(&mut this),
            &mut || reloader.iter_mut().for_each(run),
            &mut || run(&mut gdb),
            &mut || run(&mut lldb),
        ],
    );
    println!(
        "{count}: this program {ours:?}; gdb {gdb:?}, {:.0} times as long; lldb {lldb:?}, {:.0} times",
        ratio(gdb, ours),
        ratio(lldb, ours)
    );
    if reloader.is_some() {
        println!(
            "{count}: reloader modules {program:?}; gdb {:.0} times as long, lldb {:.0} times",
            ratio(gdb, program),
            ratio(lldb, program)
        );
    }
}

fn list(pid: u32) {
    let process = Process::open(pid).unwrap();
    let rendezvous = process.locate().unwrap().found().unwrap();
    let mut snapshot = rendezvous.snapshot(&process);
    snapshot.resolve(&process, &process.mappings().unwrap());
    let mut text = String::new();
    for module in snapshot.modules() {
        write!(text, "{:#x} ", module.bias).unwrap();
        for byte in module.build_id.iter().flatten() {
            write!(text, "{byte:02x}").unwrap();
        }
        writeln!(text, " {}", module.path_lossy()).unwrap();
    }
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

fn has(name: impl AsRef<OsStr>) -> bool {
    Command::new(name).arg("--version").output().is_ok()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const RUNS: usize = 9;
