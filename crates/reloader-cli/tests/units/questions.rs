//! The README of `build-info` answers questions with commands: they are run.

use std::fs;
use std::path::Path;

use crate::desk::{Desk, end};
use crate::pairs::pair;

const README: &str = include_str!("../../../build-info/README.md");

#[test]
fn every_command_of_the_readme_prints_what_stands_there() {
    let Some([dll, pdb]) = pair("amd64") else { return };
    let desk = Desk::new();
    for file in [&dll, &pdb] {
        fs::copy(file, desk.path(file.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    // The package has the sources too.
    let sources = dll.with_file_name("windows");
    fs::create_dir(desk.path("windows")).unwrap();
    for entry in fs::read_dir(sources).unwrap().flatten() {
        fs::copy(entry.path(), desk.path("windows").join(entry.file_name())).unwrap();
    }
    let mut commands = 0;
    for block in README.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        for run in block.split("$ ").skip(1) {
            let (command, expected) = run.split_once('\n').unwrap();
            commands += 1;
            prints(&desk, command, expected);
        }
    }
    assert!(commands >= 8, "{commands}");
}

/// Whether a command prints these lines, in their order. `...` is any number of lines, `…` the rest
/// of one.
fn prints(desk: &Desk, command: &str, expected: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_reloader"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", command]).current_dir(desk.path(".")).env("PATH", path);
    shell.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let end = end(&mut shell);
    assert_eq!(end.code, Some(0), "{command}: {}", end.error);
    let mut lines = end.output.lines();
    let mut may_skip = false;
    for wanted in expected.lines() {
        if wanted == "..." {
            may_skip = true;
            continue;
        }
        let is_it = |line: &str| match wanted.strip_suffix('…') {
            Some(start) => line.starts_with(start),
            None => line == wanted,
        };
        let found = if may_skip { lines.any(is_it) } else { lines.next().is_some_and(is_it) };
        assert!(found, "{command}: {wanted}\nis not in\n{}", end.output);
        may_skip = false;
    }
    assert!(
        may_skip || lines.next().is_none(),
        "{command}: more than stands there\n{}",
        end.output
    );
}
