//! What the page's script is given.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use build_info::{BuildInfo, Found, Kind, Unit};
use serde::Serialize;

use crate::units::listing::{flag, kind, line};
use crate::units::toolchain;

#[derive(Serialize)]
pub struct Data<'a> {
    units: Vec<Shown<'a>>,
    files: Vec<File<'a>>,
    toolchains: Vec<Toolchain>,
    options: Vec<Used>,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    module: &'a str,
    object: Option<&'a str>,
    cwd: Option<&'a str>,
    command: Option<Cow<'a, str>>,
    /// Where the command is from.
    from: Option<&'static str>,
    language: Option<&'a str>,
    kind: &'static str,
    flags: Vec<&'static str>,
    size: u64,
    toolchain: Option<usize>,
    files: Vec<u32>,
    partial: bool,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    exists: Option<bool>,
    units: Vec<u32>,
}

#[derive(Serialize)]
struct Toolchain {
    name: String,
    units: usize,
    size: u64,
}

/// An option, and how many units were compiled with it.
#[derive(Serialize)]
struct Used {
    option: String,
    units: usize,
}

impl<'a> Data<'a> {
    pub fn of(info: &'a BuildInfo) -> Self {
        let mut toolchains: Vec<Toolchain> = Vec::new();
        let mut known = HashMap::new();
        let mut units = Vec::with_capacity(info.units.len());
        for unit in &info.units {
            let at = (unit.kind == Kind::Source).then(|| {
                let name = toolchain(unit);
                let at = *known.entry(name.clone()).or_insert(toolchains.len());
                if at == toolchains.len() {
                    toolchains.push(Toolchain { name, units: 0, size: 0 });
                }
                toolchains[at].units += 1;
                toolchains[at].size += unit.size;
                at
            });
            units.push(Shown::of(info, unit, at));
        }
        let files = info.files.iter().map(|file| File {
            path: &file.path,
            exists: match file.found {
                Found::Unknown => None,
                Found::At(_) => Some(true),
                Found::Missing => Some(false),
            },
            units: file
                .units
                .iter()
                .map(|unit| unit.0)
                .filter(|&at| (at as usize) < units.len())
                .collect(),
        });
        Self {
            files: files.collect(),
            units,
            toolchains,
            options: options(info),
            remarks: &info.remarks,
        }
    }
}

impl<'a> Shown<'a> {
    fn of(info: &BuildInfo, unit: &'a Unit, toolchain: Option<usize>) -> Self {
        let value = |fact: &'a Option<build_info::Fact<String>>| {
            fact.as_ref().map(|fact| fact.value.as_str())
        };
        let files = unit.files.iter().map(|used| used.file.0);
        Self {
            name: unit.name(),
            module: &unit.module,
            object: value(&unit.object),
            cwd: value(&unit.cwd),
            command: unit.command.as_ref().map(|fact| line(&fact.value)),
            from: unit.command.as_ref().map(|fact| fact.provenance.as_str()),
            language: unit.language.as_deref(),
            kind: kind(unit.kind),
            flags: unit.flags.iter().copied().map(flag).collect(),
            size: unit.size,
            toolchain,
            files: files.filter(|&at| (at as usize) < info.files.len()).collect(),
            partial: !unit.has_all_files(),
        }
    }
}

/// The options of all commands, most used first; those that name one unit's files are left out.
fn options(info: &BuildInfo) -> Vec<Used> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for unit in &info.units {
        let Some(command) = &unit.command else { continue };
        let arguments = command.value.arguments();
        for option in of_command(&arguments, command.value.with_compiler()) {
            *counts.entry(option).or_default() += 1;
        }
    }
    let mut options: Vec<Used> =
        counts.into_iter().map(|(option, units)| Used { option, units }).collect();
    options.sort_by(|a, b| b.units.cmp(&a.units).then_with(|| a.option.cmp(&b.option)));
    options
}

/// The options of a command, each with its value where that is an argument of its own.
fn of_command(arguments: &[String], with_compiler: bool) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    let mut rest = arguments.iter().skip(usize::from(with_compiler)).peekable();
    // With Clang's front end, whatever does not look like an option is the value of one.
    let is_front_end = rest.peek().is_some_and(|first| *first == "-cc1");
    while let Some(argument) = rest.next() {
        let is_dashed = argument.len() > 1 && argument.starts_with('-');
        if !is_dashed && !is_slashed(argument) {
            continue;
        }
        let takes_value = APART.contains(&argument.as_str());
        let value = rest.next_if(|next| takes_value || (is_front_end && !next.starts_with('-')));
        if OF_ONE_FILE.contains(&argument.as_str()) {
            continue;
        }
        options.insert(match value {
            Some(value) => format!("{argument} {value}"),
            None => argument.clone(),
        });
    }
    options
}

/// `/O2`, but not the path `/usr/x.c`.
fn is_slashed(argument: &str) -> bool {
    argument.strip_prefix('/').is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// Options of compilers' drivers whose values may be arguments of their own.
const APART: [&str; 22] = [
    "-D",
    "-F",
    "-I",
    "-MF",
    "-MQ",
    "-MT",
    "-U",
    "-Xclang",
    "-Xpreprocessor",
    "-arch",
    "-idirafter",
    "-imacros",
    "-include",
    "-iquote",
    "-isysroot",
    "-isystem",
    "-mllvm",
    "-o",
    "-target",
    "-x",
    "--param",
    "--sysroot",
];

/// Options that say what one unit is made from and becomes.
const OF_ONE_FILE: [&str; 7] = ["-MF", "-MQ", "-MT", "-c", "-cc1", "-main-file-name", "-o"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_with_their_values_and_without_what_is_of_one_file() {
        let options = |line: &str, with_compiler| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            of_command(&words, with_compiler).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(
            options("/usr/bin/cc -isystem a -Ib -O2 -MF x.d -c /src/x.c -o x.o", true),
            ["-Ib", "-O2", "-isystem a"]
        );
        assert_eq!(options("/O2 -MD /src/x.c", false), ["-MD", "/O2"]);
        assert_eq!(
            options("-cc1 -triple x86_64 -main-file-name x.c -emit-obj", false),
            ["-emit-obj", "-triple x86_64"]
        );
    }
}
