//! The processes that are measured, and how.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The median of each, done in turns.
pub fn medians<const N: usize>(times: usize, mut works: [&mut dyn FnMut(); N]) -> [Duration; N] {
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

pub fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// What processes with many modules are made of.
pub struct Targets {
    directory: TempDir,
    program: PathBuf,
}

impl Targets {
    /// Compiles it; `None` without a compiler.
    pub fn make() -> Option<Targets> {
        let directory = tempfile::tempdir().unwrap();
        let program = compile(directory.path(), "target", TARGET, &["-ldl"])?;
        let shared = ["-shared", "-fPIC", "-nostdlib"];
        compile(directory.path(), "library.so", LIBRARY, &shared)?;
        Some(Targets { directory, program })
    }

    /// Does something with a process that has loaded so many libraries.
    pub fn with(&self, count: usize, work: impl FnOnce(u32)) {
        let directory = self.directory.path();
        for index in 0..count {
            let copy = directory.join(format!("library-{index:04}.so"));
            std::fs::copy(directory.join("library.so"), copy).unwrap();
        }
        let mut child = Command::new(&self.program)
            .args([directory.as_os_str(), count.to_string().as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        work(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn compile(directory: &Path, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
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
