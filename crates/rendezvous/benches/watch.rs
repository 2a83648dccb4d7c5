//! What being watched costs a process that loads 1,000 libraries: unwatched, by each of the means,
//! and under debuggers. The process measures itself, from its first `dlopen` to its last.
//!
//! `PROBED_LOADER=PATH` names a loader that has static probes, and its C library beside it: then the
//! same is measured with that loader, at its function and at its probes.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rendezvous::{Event, Means, Site, Watch, WatchOptions};

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    if !make(directory, "target", TARGET, &["-ldl"])
        || !make(directory, "library", LIBRARY, &SHARED)
    {
        return println!("skipped: no C compiler");
    }
    for number in 0..COUNT {
        let copy = directory.join(format!("lib{number:04}.so"));
        std::fs::copy(directory.join("library"), copy).unwrap();
    }
    let bare = by_every_means(directory, &[Site::Function]);
    debuggers(directory, bare);
    let Some(loader) = std::env::var_os("PROBED_LOADER") else { return };
    let loader = Path::new(&loader);
    let flag = |flag: &str, path: &Path| format!("-Wl,{flag}={}", path.display());
    let beside = flag("-rpath", loader.parent().unwrap());
    let loader = flag("--dynamic-linker", loader);
    if make(directory, "target", TARGET, &["-ldl", &loader, &beside]) {
        by_every_means(directory, &[Site::Function, Site::Probes]);
    }
}

/// In turns, so that whatever else the machine does is done to all.
fn by_every_means(directory: &Path, sites: &[Site]) -> Duration {
    let mut ways = vec![None];
    for means in Means::ALL {
        let refused = Watch::with(
            std::process::id(),
            &WatchOptions { means: vec![means], ..WatchOptions::default() },
        );
        // Nobody can stop the process that it is.
        if !means.is_exact()
            && let Err(error) = refused
        {
            println!("{means:<25} skipped: {error}");
            continue;
        }
        let sites = if means == Means::Polling { &sites[..1] } else { sites };
        ways.extend(sites.iter().map(|&site| Some((means, site))));
    }
    // Once for the page cache.
    unwatched(directory);
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..RUNS {
        for (way, times) in ways.iter().zip(&mut times) {
            times.push(match *way {
                None => unwatched(directory),
                Some((means, site)) => watched(directory, means, site),
            });
        }
    }
    let mut bare = Duration::ZERO;
    for (way, times) in ways.into_iter().zip(&mut times) {
        times.sort();
        let time = times[RUNS / 2];
        let name = match way {
            None => {
                bare = time;
                "unwatched".to_owned()
            }
            Some((Means::Polling, _)) => Means::Polling.to_string(),
            Some((means, site)) => format!("{means} at {site}"),
        };
        println!("{name:<25} {time:>10.1?}  {:.2} times", ratio(time, bare));
    }
    bare
}

fn debuggers(directory: &Path, bare: Duration) {
    for (name, arguments) in [
        (
            "gdb",
            &["-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "run", "--args"][..],
        ),
        ("lldb-19", &["--no-lldbinit", "--batch", "-o", "run", "--"]),
        ("lldb", &["--no-lldbinit", "--batch", "-o", "run", "--"]),
    ] {
        match debugged(directory, name, arguments) {
            Some(time) => println!("{name:<25} {time:>10.1?}  {:.1} times", ratio(time, bare)),
            None => println!("{name:<25} skipped: it does not run"),
        }
    }
}

fn unwatched(directory: &Path) -> Duration {
    let (child, input) = start(directory);
    time_of(child, input)
}

fn watched(directory: &Path, means: Means, site: Site) -> Duration {
    let (child, input) = start(directory);
    let options = WatchOptions { means: vec![means], sites: vec![site], ..WatchOptions::default() };
    let watch = Watch::with(child.id(), &options).unwrap();
    let counting = std::thread::spawn(move || {
        watch.filter(|event| matches!(event.as_ref().unwrap(), Event::Added(_))).count()
    });
    let time = time_of(child, input);
    let added = counting.join().unwrap();
    // A target that is not stopped may be gone before its last libraries have been read.
    assert!(added == COUNT || !means.is_exact(), "{means}: {added}");
    time
}

/// A target that waits for a line.
fn start(directory: &Path) -> (Child, std::process::ChildStdin) {
    let mut child = Command::new(directory.join("target"))
        .args([COUNT.to_string().as_ref(), directory.as_os_str(), "wait".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

/// Lets it begin, and gives the time that it says.
fn time_of(mut child: Child, mut input: std::process::ChildStdin) -> Duration {
    input.write_all(b"\n").unwrap();
    let mut text = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    time_in(&text).unwrap()
}

fn debugged(directory: &Path, debugger: &str, arguments: &[&str]) -> Option<Duration> {
    let output = Command::new(debugger)
        .args(arguments)
        .arg(directory.join("target"))
        .args([COUNT.to_string().as_ref(), directory.as_os_str()])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    time_in(&String::from_utf8_lossy(&output.stdout))
}

/// `micros 1234`.
fn time_in(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("micros ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_micros)
}

fn make(directory: &Path, name: &str, source: &str, flags: &[&str]) -> bool {
    let file = directory.join(name).with_extension("c");
    std::fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.arg(&file).args(flags).arg("-o").arg(directory.join(name));
    compiler.status().is_ok_and(|status| status.success())
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

const COUNT: usize = 1000;
const RUNS: usize = 9;

const SHARED: [&str; 3] = ["-shared", "-fPIC", "-nostdlib"];
const LIBRARY: &str = "int f(int x) { static int sum; return sum += x; }\n";
const TARGET: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(int count, char **arguments) {
    struct timespec from, to;
    char path[4096];
    if (count > 3) {
        putchar('r');
        fflush(stdout);
        getchar();
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < atoi(arguments[1]); i++) {
        snprintf(path, sizeof path, "%s/lib%04d.so", arguments[2], i);
        if (!dlopen(path, RTLD_NOW)) {
            puts(dlerror());
            return 1;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("micros %ld\n", (to.tv_sec - from.tv_sec) * 1000000L + (to.tv_nsec - from.tv_nsec) / 1000);
    return 0;
}
"#;
