//! What a snapshot costs beside the bare reads of the same bytes, in processes with 10, 300 and
//! 1,000 modules; what debuggers take for the same list; what "anything new?" costs.
//!
//! With `--whole PID` it prints the modules of that process and is done: that is what is timed
//! beside the debuggers, from the program's start to its end.
#![allow(unsafe_code, reason = "the bare system call is what is compared with")]

use std::ffi::OsStr;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;
use rendezvous::{Generation, Process, Rendezvous, Snapshot, Tracker};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, pid, ..] = &arguments[..]
        && flag == "--whole"
    {
        return whole(pid.parse().unwrap());
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    criterion.bench_function("anything new? in this process", |bencher| {
        bencher.iter(Generation::current);
    });
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = compile(directory.path(), "target", TARGET, &["-ldl"]) else { return };
    for count in [10, 300, 1000] {
        let mut child = start(directory.path(), &program, count);
        snapshots(&mut criterion, count, child.id());
        debuggers(count, child.id());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    criterion.final_summary();
}

fn snapshots(criterion: &mut Criterion, count: usize, pid: u32) {
    let process = Process::open(pid).unwrap();
    let rendezvous = process.locate().unwrap().found().unwrap();
    let snapshot = rendezvous.snapshot(&process);
    let places = places(&rendezvous, &snapshot);
    let bytes: usize = places.iter().map(|place| place.1).sum();
    let mut buffer = vec![0_u8; bytes];

    let mut group = criterion.benchmark_group(format!("{} modules", snapshot.modules().count()));
    group.bench_function("bare reads of the same bytes, one call a module and name", |bencher| {
        bencher.iter(|| places.iter().for_each(|&place| read(pid, &[place], &mut buffer)));
    });
    group.bench_function("bare reads of the same bytes, all places known", |bencher| {
        bencher.iter(|| read(pid, &places, &mut buffer));
    });
    group.bench_function("snapshot", |bencher| bencher.iter(|| rendezvous.snapshot(&process)));
    group.bench_function("locate", |bencher| bencher.iter(|| process.locate().unwrap()));
    group.bench_function("files and build IDs of all", |bencher| {
        bencher.iter(|| {
            let mut snapshot = snapshot.clone();
            snapshot.resolve(&process, &process.mappings().unwrap());
            snapshot
        });
    });
    let mut tracker = Tracker::new();
    tracker.update(snapshot.clone());
    group.bench_function("nothing new, by the lists' ends", |bencher| {
        bencher.iter(|| tracker.advance(&rendezvous, &process).unwrap());
    });
    group.finish();

    let mut other = vec![0_u8; bytes];
    // In turns, so that whatever else the machine does is done to all.
    let [bare, one_by_one, again, first] = medians(
        301,
        [
            &mut || read(pid, &places, black_box(&mut buffer)),
            &mut || places.iter().for_each(|&place| read(pid, &[place], black_box(&mut other))),
            &mut || drop(black_box(rendezvous.snapshot(&process))),
            // A clone does not know where everything was the last time.
            &mut || drop(black_box(rendezvous.clone().snapshot(&process))),
        ],
    );
    println!(
        "{count}: verified snapshot {again:?}, the first {first:?}; bare reads {bare:?} ({:.2}, \
         {:.2}), one by one {one_by_one:?} ({:.2}, {:.2})",
        ratio(again, bare),
        ratio(first, bare),
        ratio(again, one_by_one),
        ratio(first, one_by_one)
    );
}

/// The whole of each program, from its start to its end.
fn debuggers(count: usize, pid: u32) {
    let own = std::env::current_exe().unwrap();
    let pid = pid.to_string();
    let lldb = if has("lldb") { "lldb" } else { "lldb-19" };
    if !has("gdb") || !has(lldb) {
        return println!("skipped: there are not both gdb and lldb");
    }
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-p", &pid, "-ex", "info sharedlibrary"]);
    let mut lldb = Command::new(lldb);
    lldb.args(["--no-lldbinit", "--batch", "-p", &pid, "-o", "image list", "-o", "detach"]);
    let [ours, gdb, lldb] = medians(
        7,
        [
            &mut || run(Command::new(&own).args(["--whole", &pid])),
            &mut || run(&mut gdb),
            &mut || run(&mut lldb),
        ],
    );
    println!(
        "{count}: this program {ours:?}; gdb {gdb:?}, {:.0} times as long; lldb {lldb:?}, {:.0} times",
        ratio(gdb, ours),
        ratio(lldb, ours)
    );
}

fn whole(pid: u32) {
    let process = Process::open(pid).unwrap();
    let rendezvous = process.locate().unwrap().found().unwrap();
    let mut snapshot = rendezvous.snapshot(&process);
    snapshot.resolve(&process, &process.mappings().unwrap());
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for module in snapshot.modules() {
        let id = module.build_id.as_deref().unwrap_or_default();
        writeln!(out, "{:#x} {:02x?} {}", module.bias, id, module.path_lossy()).unwrap();
    }
}

/// Where the bytes are that a snapshot is made of.
fn places(rendezvous: &Rendezvous, snapshot: &Snapshot) -> Vec<(u64, usize)> {
    let mut places = Vec::new();
    for namespace in &snapshot.namespaces {
        places.push((namespace.head.address, 5 * rendezvous.layout.word_size()));
        for module in &namespace.modules {
            places.push((module.link_map, 5 * rendezvous.layout.word_size()));
            let name = module.name.as_ref().map_or(0, Vec::len);
            // Where the name is does not matter for the cost, but that it is elsewhere.
            places.push((module.link_map + 64, name + 1));
        }
    }
    places
}

fn read(pid: u32, places: &[(u64, usize)], buffer: &mut [u8]) {
    let mut buffer = buffer;
    for places in places.chunks(1024) {
        let remote: Vec<libc::iovec> = places
            .iter()
            .map(|&(address, length)| libc::iovec {
                iov_base: std::ptr::without_provenance_mut(address as usize),
                iov_len: length,
            })
            .collect();
        let total: usize = places.iter().map(|place| place.1).sum();
        let (now, later) = buffer.split_at_mut(total);
        buffer = later;
        let local = libc::iovec { iov_base: now.as_mut_ptr().cast(), iov_len: total };
        // SAFETY: the kernel writes into `now`, which is borrowed exclusively; the other process's
        // addresses are not dereferenced here.
        let read = unsafe {
            libc::process_vm_readv(
                pid as i32,
                &raw const local,
                1,
                remote.as_ptr(),
                remote.len() as u64,
                0,
            )
        };
        assert_eq!(read, total as isize);
    }
}

fn has(name: impl AsRef<OsStr>) -> bool {
    Command::new(name).arg("--version").output().is_ok()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The median of each, done in turns.
fn medians<const N: usize>(times: usize, mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut measured = [const { Vec::new() }; N];
    for _ in 0..times {
        for (work, measured) in works.iter_mut().zip(&mut measured) {
            let start = Instant::now();
            work();
            measured.push(start.elapsed());
        }
    }
    measured.map(|mut measured| {
        measured.sort();
        measured[times / 2]
    })
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// A process that has loaded so many libraries.
fn start(directory: &Path, program: &Path, count: usize) -> Child {
    let library = compile(directory, "library.so", LIBRARY, &["-shared", "-fPIC", "-nostdlib"]);
    let library = library.unwrap();
    for index in 0..count {
        std::fs::copy(&library, directory.join(format!("library-{index:04}.so"))).unwrap();
    }
    let mut child = Command::new(program)
        .args([directory.as_os_str(), count.to_string().as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn compile(
    directory: &Path,
    name: &str,
    source: &str,
    flags: &[&str],
) -> Option<std::path::PathBuf> {
    let (input, output) = (directory.join(format!("{name}.c")), directory.join(name));
    std::fs::write(&input, source).unwrap();
    let status = Command::new("cc").arg("-o").arg(&output).arg(&input).args(flags).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("skipped: cc makes no {name}");
        return None;
    }
    Some(output)
}

const LIBRARY: &str = "int in_library(void) { return 1; }\n";

const TARGET: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    char path[4096];
    if (argc < 3) return 1;
    for (int i = 0; i < atoi(argv[2]); i++) {
        snprintf(path, sizeof path, "%s/library-%04d.so", argv[1], i);
        if (!dlopen(path, RTLD_NOW)) return 2;
    }
    puts("ready");
    fflush(stdout);
    getchar();
    return 0;
}
"#;
