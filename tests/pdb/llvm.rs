use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use build_info::pdb::read;
use build_info::{Fact, Questions, Unit};
use reloader_tests::{Tool, tool};

use crate::corpus::pdbs;

#[test]
fn llvm_gives_the_same_commands_directories_compilers_and_sources() {
    let Some(tool) = tool("llvm-pdbutil-19") else { return };
    let mut commands = 0;
    for path in pdbs() {
        let info = read(&File::open(&path).unwrap(), &Questions::ALL).unwrap();
        let records = Records::of(&dump(&tool, "-ids", &path));
        let symbols = dump(&tool, "-symbols", &path);
        let mut unit = None::<&Unit>;
        for line in symbols.lines().map(str::trim_start) {
            if let Some(number) = line.strip_prefix("Mod ") {
                unit = info.units.get(number[..4].parse::<usize>().unwrap());
            } else if let (Some(unit), Some((_, id))) = (unit, line.split_once("BuildId = `")) {
                let Some(build) = records.builds.get(id.trim_end_matches('`')) else {
                    panic!("{}: {line}", path.display());
                };
                compare(unit, &build.each_ref().map(|id| records.text(id)), &path);
                commands += usize::from(unit.command.is_some());
            }
        }
    }
    assert!(commands > 100 || pdbs().is_empty(), "{commands}");
}

#[test]
fn llvm_gives_the_same_coff_groups() {
    let Some(tool) = tool("llvm-pdbutil-19") else { return };
    for path in pdbs() {
        let info = read(&File::open(&path).unwrap(), &Questions::ALL).unwrap();
        let headers = dump(&tool, "-section-headers", &path);
        let starts: Vec<u64> = headers
            .lines()
            .filter_map(|line| line.trim().strip_suffix(" virtual address"))
            .map(|digits| u64::from_str_radix(digits, 16).unwrap())
            .collect();
        let symbols = dump(&tool, "-symbols", &path);
        let mut lines = symbols.lines();
        let mut theirs = Vec::new();
        while let Some(line) = lines.next() {
            let Some((_, group)) = line.split_once("| S_COFFGROUP [") else { continue };
            let name = group.split('`').nth(1).unwrap().to_owned();
            // `length = 54, addr = 0001:7104`
            let place = lines.next().unwrap().trim();
            let (length, address) = place.split_once(", addr = ").unwrap();
            let (section, offset) = address.split_once(':').unwrap();
            let section: u16 = section.parse().unwrap();
            let address = starts[usize::from(section) - 1] + offset.parse::<u64>().unwrap();
            let length: u32 = length.strip_prefix("length = ").unwrap().parse().unwrap();
            theirs.push((address, section, length, name));
        }
        theirs.sort();
        assert!(theirs.len() > 10, "{}", path.display());
        let groups = info.groups.iter();
        let mut ours: Vec<_> =
            groups.map(|it| (it.address, it.section, it.size, it.name.clone())).collect();
        ours.sort();
        assert_eq!(ours, theirs, "{}", path.display());
    }
}

/// Compares with directory, compiler, source, PDB and arguments.
fn compare(unit: &Unit, theirs: &[String; 5], path: &Path) {
    let value = |fact: &Option<Fact<String>>| {
        fact.as_ref().map(|fact| fact.value.clone()).unwrap_or_default()
    };
    let command = unit.command.as_ref().map(|fact| match &fact.value {
        build_info::Command::Line { raw, .. } => raw.clone(),
        other => panic!("{other:?}"),
    });
    let ours = [
        value(&unit.cwd),
        value(&unit.compiler),
        value(&unit.source),
        value(&unit.compiler_pdb),
        command.unwrap_or_default(),
    ];
    assert_eq!(ours, *theirs, "{}: {}", path.display(), unit.module);
}

fn dump(tool: &Tool, what: &str, path: &Path) -> String {
    let output = Command::new(&tool.0).args(["dump", what]).arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The strings, their lists and what refers to them, each by its number as it is printed.
#[derive(Default)]
struct Records {
    /// A text, and what stands before it.
    strings: HashMap<String, (String, String)>,
    lists: HashMap<String, Vec<String>>,
    builds: HashMap<String, [String; 5]>,
}

impl Records {
    fn of(dump: &str) -> Self {
        let mut records = Self::default();
        let mut lines = dump.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((id, record)) = line.trim_start().split_once(" | LF_") else { continue };
            // The lines below, which begin with the numbers of what they show.
            let mut below = || {
                let mut numbers = Vec::new();
                while let Some(line) = lines.next_if(|line| !line.contains(" | LF_")) {
                    let number = line.trim_start().split_once(": `").map(|(number, _)| number);
                    numbers.extend(number.map(str::to_owned));
                }
                numbers
            };
            if let Some((_, text)) = record.split_once("] ID: ")
                && record.starts_with("STRING_ID")
            {
                let (before, text) = text.split_once(", String: ").unwrap();
                records.strings.insert(id.to_owned(), (before.to_owned(), text.to_owned()));
            } else if record.starts_with("SUBSTR_LIST") {
                records.lists.insert(id.to_owned(), below());
            } else if record.starts_with("BUILDINFO") {
                let parts = below();
                let parts = parts.try_into().unwrap_or_else(|parts| panic!("{line}: {parts:?}"));
                records.builds.insert(id.to_owned(), parts);
            }
        }
        records
    }

    fn text(&self, id: &str) -> String {
        let Some((before, text)) = self.strings.get(id) else { return String::new() };
        let list = self.lists.get(before).into_iter().flatten();
        let before: String = list.map(|id| self.text(id)).collect();
        before + text
    }
}

/// What is read is what is compared.
#[test]
fn what_llvm_prints_of_strings_is_put_together() {
    let records = Records::of(
        "  0x1001 | LF_STRING_ID [size = 8] ID: <no type>, String: a b
  0x1002 | LF_STRING_ID [size = 8] ID: <no type>, String:  c
  0x1003 | LF_SUBSTR_LIST [size = 16]
           0x1001: `a b`
           0x1002: ` c`
  0x1004 | LF_STRING_ID [size = 8] ID: 0x1003, String:  d
  0x1005 | LF_FUNC_ID [size = 8]
           name = f, type = 0x1001, parent scope = <no type>
",
    );
    assert_eq!(records.text("0x1004"), "a b c d");
    assert_eq!(records.text("0x1009"), "");
}
