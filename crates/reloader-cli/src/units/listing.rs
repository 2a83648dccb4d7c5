//! The units as JSON. The form is documented in the long help of `reloader units`.

use std::borrow::Cow;

use build_info::{
    BuildInfo, Command, Fact, FileUse, Flag, Format, Found, Identity, Kind, Provenance, Questions,
    Quoting, Unit,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::uses::Uses;

use crate::destination::hexadecimal;

/// All that is known of a build.
#[derive(Debug, Serialize)]
pub struct Listing<'a> {
    format: &'static str,
    units: Vec<Listed<'a>>,
    linker: Option<Linker<'a>>,
    identity: Option<String>,
    groups: Vec<Group<'a>>,
    remarks: &'a [String],
}

/// A unit.
#[derive(Debug, Serialize)]
pub struct Listed<'a> {
    module: &'a str,
    object: Option<&'a str>,
    source: Option<&'a str>,
    cwd: Option<&'a str>,
    compiler: Option<&'a str>,
    command: Option<Cow<'a, str>>,
    arguments: Option<Vec<String>>,
    language: Option<&'a str>,
    version: Option<String>,
    files: Vec<&'a RawValue>,
    size: u64,
    provenance: Sources,
    kind: &'static str,
    archive: Option<&'a str>,
    target: Option<&'a str>,
    back_end: Option<String>,
    producer: Option<&'a str>,
    flags: Vec<&'static str>,
    definitions: &'a [String],
    compiler_pdb: Option<&'a str>,
}

/// Where the facts about a unit or the linker are from.
#[derive(Debug, Serialize)]
struct Sources {
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    cwd: Option<&'static str>,
    compiler: Option<&'static str>,
    command: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Used<'a> {
    path: &'a str,
    checksum: Option<Sum>,
    exists: Option<bool>,
    provenance: &'static str,
}

#[derive(Debug, Serialize)]
struct Sum {
    kind: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Linker<'a> {
    cwd: Option<&'a str>,
    executable: Option<&'a str>,
    pdb: Option<&'a str>,
    command: Option<Cow<'a, str>>,
    arguments: Option<Vec<String>>,
    producer: Option<&'a str>,
    provenance: Sources,
}

#[derive(Debug, Serialize)]
struct Group<'a> {
    name: &'a str,
    address: u64,
    size: u32,
    section: u16,
    characteristics: u32,
}

/// What is needed for a listing of what is known.
pub const COMMANDS_AND_FILES: Questions =
    Questions { commands: true, files: true, contributions: false };

/// The files of units, each written once: there can be thousands of times as many uses of them.
pub struct Files(Uses<Box<RawValue>>);

impl Files {
    pub fn of<'a>(
        info: &BuildInfo,
        units: impl IntoIterator<Item = &'a Unit>,
    ) -> serde_json::Result<Self> {
        Uses::of(info, units, |used| to_raw_value(&Used::of(info, used))).map(Self)
    }
}

impl<'a> Listing<'a> {
    pub fn of(info: &'a BuildInfo, files: &'a Files) -> Self {
        let groups = info.groups.iter().map(|group| Group {
            name: &group.name,
            address: group.address,
            size: group.size,
            section: group.section,
            characteristics: group.characteristics,
        });
        Self {
            format: format(info.format),
            units: info.units.iter().map(|unit| Listed::of(files, unit)).collect(),
            linker: info.linker.as_ref().map(Linker::of),
            identity: info.identity.as_ref().map(identity),
            groups: groups.collect(),
            remarks: &info.remarks,
        }
    }
}

impl<'a> Listed<'a> {
    pub fn of(files: &'a Files, unit: &'a Unit) -> Self {
        let command = unit.command.as_ref().map(|fact| &fact.value);
        Self {
            module: &unit.module,
            object: value(&unit.object),
            source: value(&unit.source),
            cwd: value(&unit.cwd),
            compiler: value(&unit.compiler),
            command: command.map(line),
            arguments: command.map(Command::arguments),
            language: unit.language.as_deref(),
            version: unit.front_end.map(|version| version.to_string()),
            files: files.0.in_unit(unit).map(|file| &**file).collect(),
            size: unit.size,
            provenance: Sources {
                object: said(&unit.object),
                source: said(&unit.source),
                cwd: said(&unit.cwd),
                compiler: said(&unit.compiler),
                command: said(&unit.command),
                files: source_of_files(unit),
            },
            kind: kind(unit.kind),
            archive: unit.archive.as_deref(),
            target: unit.target.as_deref(),
            back_end: unit.back_end.map(|version| version.to_string()),
            producer: unit.producer.as_deref(),
            flags: unit.flags.iter().copied().map(flag).collect(),
            definitions: &unit.definitions,
            compiler_pdb: value(&unit.compiler_pdb),
        }
    }
}

/// Who knows all files of a unit; where nobody does, the weakest of those who know some.
fn source_of_files(unit: &Unit) -> Option<&'static str> {
    let is_whole = unit.has_all_files();
    let named = unit.files.iter().map(|used| used.provenance);
    let is_part = |from: Provenance| matches!(from, Provenance::LineTable | Provenance::OwnHeaders);
    let counted = named.filter(|from| !is_whole || !is_part(*from));
    counted.max().map(Provenance::as_str)
}

impl<'a> Used<'a> {
    /// Nothing if there is no such file.
    fn of(info: &'a BuildInfo, used: &FileUse) -> Option<Self> {
        let file = info.files.get(used.file.0 as usize)?;
        let checksum = used.checksum.and_then(|at| info.checksums.get(at as usize));
        Some(Self {
            path: &file.path,
            checksum: checksum.map(|sum| Sum { kind: sum.kind(), value: sum.to_string() }),
            exists: match file.found {
                Found::Unknown => None,
                Found::At(_) => Some(true),
                Found::Missing => Some(false),
            },
            provenance: used.provenance.as_str(),
        })
    }
}

impl<'a> Linker<'a> {
    fn of(linker: &'a build_info::Linker) -> Self {
        let command = linker.command.as_ref().map(|fact| &fact.value);
        Self {
            cwd: value(&linker.cwd),
            executable: value(&linker.executable),
            pdb: value(&linker.pdb),
            command: command.map(line),
            arguments: command.map(Command::arguments),
            producer: linker.producer.as_deref(),
            provenance: Sources {
                object: None,
                source: None,
                cwd: said(&linker.cwd),
                compiler: said(&linker.executable),
                command: said(&linker.command),
                files: None,
            },
        }
    }
}

/// A command as one line: as it is recorded, or as a shell takes it.
pub fn line(command: &Command) -> Cow<'_, str> {
    match command {
        Command::Line { raw, .. } => Cow::Borrowed(raw),
        Command::Arguments(arguments) => Cow::Owned(Quoting::Posix.join(arguments)),
    }
}

/// What tells a build from another, in digits.
pub fn identity(identity: &Identity) -> String {
    match identity {
        Identity::Pdb { guid, age } => format!("{}-{age}", uuid(guid, true)),
        Identity::BuildId(bytes) => hexadecimal(bytes),
        Identity::Uuid(bytes) => uuid(bytes, false),
    }
}

/// Sixteen bytes as they are written usually: of a GUID the first three fields are little-endian.
fn uuid(bytes: &[u8; 16], is_guid: bool) -> String {
    let mut bytes = *bytes;
    if is_guid {
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
    }
    let digits = hexadecimal(&bytes).to_uppercase();
    let fields = [0..8, 8..12, 12..16, 16..20, 20..32];
    fields.map(|field| digits[field].to_owned()).join("-")
}

pub fn format(format: Format) -> &'static str {
    match format {
        Format::Pdb => "pdb",
        Format::MachO => "mach-o",
        _ => "elf",
    }
}

pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Runtime => "runtime",
        Kind::Resource => "resource",
        Kind::Import => "import",
        Kind::LinkTimeCode => "link-time-code",
        Kind::Linker => "linker",
        _ => "source",
    }
}

pub fn flag(flag: Flag) -> &'static str {
    match flag {
        Flag::EditAndContinue => "edit-and-continue",
        Flag::NoDebugInfo => "no-debug-info",
        Flag::Ltcg => "ltcg",
        Flag::NoDataAlign => "no-data-align",
        Flag::Managed => "managed",
        Flag::SecurityChecks => "security-checks",
        Flag::Hotpatch => "hotpatch",
        Flag::ConvertedByCvtcil => "converted-by-cvtcil",
        Flag::MsilModule => "msil-module",
        Flag::Sdl => "sdl",
        Flag::Pgo => "pgo",
        Flag::ExpModule => "exp-module",
        Flag::Optimized => "optimized",
        Flag::SplitDebugInfo => "split-debug-info",
        _ => "other",
    }
}

fn value(fact: &Option<Fact<String>>) -> Option<&str> {
    fact.as_ref().map(|fact| fact.value.as_str())
}

fn said<T>(fact: &Option<Fact<T>>) -> Option<&'static str> {
    fact.as_ref().map(|fact| fact.provenance.as_str())
}
