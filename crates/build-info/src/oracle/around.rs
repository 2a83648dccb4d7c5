//! What must hold of command lines, paths and the texts of build systems.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken promise ends the test"
)]

use std::collections::BTreeMap;
use std::io;

use crate::around::{CargoOutput, Depfile, Manifest, NinjaLog, Surroundings};
use crate::path::{Root, Spelled};
use crate::{
    BuildInfo, Disk, Entry, Fact, Format, Quoting, Resolve, Stamp, Style, Unit,
    expand_response_files,
};

/// Takes a text for a log of dependencies, and for every other text of a build system that there
/// is a reader of; fills a binary's description with what they say.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn ninja_deps(bytes: &[u8]) {
    let mut around = Surroundings::default();
    if let Ok(log) = NinjaLog::parse(bytes) {
        let simple = simply(bytes).expect("a log that is read is a log");
        let read: BTreeMap<&str, (u64, Vec<&str>)> =
            log.dependencies().map(|one| (one.output, (one.modified, one.inputs))).collect();
        assert_eq!(read.len(), simple.len());
        for (output, (modified, inputs)) in &simple {
            let (time, names) = &read[output.as_str()];
            assert_eq!((time, names.iter().eq(inputs)), (modified, true));
        }
        around.add_ninja_log("/b", &log);
    }
    let disk = OneFile(bytes);
    let manifest = Manifest::read("/b", "build.ninja", &disk);
    let commands: usize = manifest.edges.iter().map(|edge| edge.command.len()).sum();
    assert!(commands <= (8 << 20) + bytes.len() * 512 * manifest.files.len());
    around.add_ninja("/b", "build.ninja", &disk);
    for rule in Depfile::parse(bytes).rules {
        assert!(!rule.targets.is_empty() && !rule.prerequisites.is_empty());
    }
    around.add_depfile(None, bytes);
    let text = String::from_utf8_lossy(bytes);
    around.add_link_commands("/b", &text);
    drop(around.add_compile_commands(bytes));
    around.add_build_log("/b", &text, &disk);
    around.add_cargo("/b", &CargoOutput::parse(bytes), &disk);
    let mut info = BuildInfo::new(Format::Elf);
    for (source, _) in text.lines().take(8).zip(0..) {
        let source = Some(Fact::recorded(source.to_owned()));
        info.units.push(Unit {
            source,
            cwd: Some(Fact::recorded("/b".to_owned())),
            ..Unit::default()
        });
    }
    info.fill(&around, &Resolve::lexical());
    consistent(&info);
    info.resolve(&Resolve::lexical());
    consistent(&info);
    let once = info.clone();
    info.resolve(&Resolve::lexical());
    assert_eq!(info, once, "resolved twice is resolved once");
    assert!(info.diff(&once).is_empty());
    for file in &info.files {
        let found = info.affected(&[&file.path]);
        assert!(file.units.iter().all(|unit| found.units.contains(unit)), "{file:?}");
    }
}

/// Splits a line by all rules, and joins what comes out; takes it for a path too.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn command_line_split(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    for quoting in [Quoting::Windows, Quoting::Posix, Quoting::Gnu, Quoting::Llvm, Quoting::Words] {
        for split in [quoting.split(&line), quoting.split_with_program(&line)] {
            let length: usize = split.arguments.iter().map(String::len).sum();
            assert!(length <= line.len(), "arguments are no longer than their line");
            if quoting == Quoting::Llvm && split.arguments == [""] {
                continue;
            }
            let joined = quoting.join(&split.arguments);
            assert_eq!(quoting.split(&joined).arguments, split.arguments, "{quoting:?} {joined}");
        }
    }
    let chars: Vec<char> = line.chars().collect();
    assert_eq!(Quoting::Windows.split(&line).arguments, as_the_runtime_does(&chars));
    let arguments = Quoting::Gnu.split(&line).arguments;
    let expanded = expand_response_files(arguments, Quoting::Gnu, "/b", &OneFile(bytes));
    assert!(expanded.arguments.len() <= line.len() * 64 + line.len());
    for style in [Style::Posix, Style::Windows] {
        let once = Spelled::parse(&line, style).collapsed();
        let is_a_name = |name: &str| !matches!(name, "?" | "." | "??" | "..");
        let start = match once.root {
            Root::Share(server, _) => Some(server),
            Root::Slash if style == Style::Windows => once.names.first().copied(),
            _ => None,
        };
        if start.is_none_or(is_a_name) {
            let text = once.to_string();
            let twice = Spelled::parse(&text, once.style).collapsed();
            assert_eq!(twice.to_string(), text, "a spelling is its own spelling");
        }
    }
}

/// Files know their units, and units their files.
fn consistent(info: &BuildInfo) {
    for (number, unit) in (0..).map(crate::UnitId).zip(&info.units) {
        for one in &unit.files {
            assert!(info.files[one.file.0 as usize].units.contains(&number));
        }
    }
    for (number, file) in (0..).map(crate::FileId).zip(&info.files) {
        assert!(file.units.is_sorted());
        for unit in &file.units {
            assert!(info.units[unit.0 as usize].files.iter().any(|one| one.file == number));
        }
    }
}

/// A log, read in the simplest way.
fn simply(bytes: &[u8]) -> Option<BTreeMap<String, (u64, Vec<String>)>> {
    let word = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(four.try_into().unwrap()))
    };
    let version = word(12)?;
    let (mut paths, mut made) = (Vec::new(), BTreeMap::new());
    let mut at = 16;
    while let Some(size) = word(at) {
        let length = (size & 0x7fff_ffff) as usize;
        let Some(record) = bytes.get(at + 4..at + 4 + length) else { break };
        if size >> 31 == 0 {
            let mut path = &record[..length - 4];
            for _ in 0..3 {
                path = path.strip_suffix(b"\0").unwrap_or(path);
            }
            paths.push(String::from_utf8_lossy(path).into_owned());
        } else {
            let words: Vec<u32> =
                (0..length / 4).map(|step| word(at + 4 + step * 4).unwrap()).collect();
            let mut time = u64::from(words[1]);
            let mut first = 2;
            if version == 4 {
                time |= u64::from(words[2]) << 32;
                first = 3;
            }
            made.insert(words[0], (time, words[first..].to_vec()));
        }
        at += 4 + length;
    }
    let name = |number: &u32| paths[*number as usize].clone();
    Some(
        made.iter()
            .map(|(output, (time, inputs))| {
                (name(output), (*time, inputs.iter().map(name).collect()))
            })
            .collect(),
    )
}

/// The arguments as the documentation of the C runtime words it, character by character.
fn as_the_runtime_does(line: &[char]) -> Vec<String> {
    let at = |place: usize| line.get(place).copied();
    let is_blank = |char: char| char == ' ' || char == '\t';
    let mut arguments = Vec::new();
    let mut place = 0;
    loop {
        while at(place).is_some_and(is_blank) {
            place += 1;
        }
        if place >= line.len() {
            return arguments;
        }
        let mut argument = String::new();
        let mut quoted = false;
        loop {
            let mut slashes = 0;
            while at(place) == Some('\\') {
                place += 1;
                slashes += 1;
            }
            let mut copied = true;
            if at(place) == Some('"') {
                if slashes % 2 == 0 {
                    if quoted && at(place + 1) == Some('"') {
                        place += 1;
                    } else {
                        copied = false;
                        quoted = !quoted;
                    }
                }
                slashes /= 2;
            }
            argument.extend(std::iter::repeat_n('\\', slashes));
            let Some(char) = at(place) else { break };
            if !quoted && is_blank(char) {
                break;
            }
            if copied {
                argument.push(char);
            }
            place += 1;
        }
        arguments.push(argument);
    }
}

/// A disk on which every file is the same one.
#[derive(Clone, Copy)]
struct OneFile<'a>(&'a [u8]);

impl Disk for OneFile<'_> {
    fn style(&self) -> Style {
        Style::Posix
    }

    fn real(&self, path: &str) -> io::Result<String> {
        Ok(path.to_owned())
    }

    fn entries(&self, _: &str) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        let is_log = path.ends_with(".ninja_deps");
        if is_log || self.0.len() > most {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(self.0.to_vec())
        }
    }

    fn stamp(&self, _: &str) -> io::Result<Stamp> {
        Ok(Stamp { modified: 1, length: self.0.len() as u64 })
    }
}
