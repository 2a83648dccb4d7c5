//! The same by another reader, the `pdb` crate.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use build_info::{
    BuildInfo, Checksum, Claim, Command, Contribution, Fact, File, FileId, FileUse, Format, Found,
    Provenance, Quoting, Unit, UnitId, Version,
};
use pdb::{FallibleIterator, IdData, IdIndex, ItemFinder, Source, SymbolData};

/// What they give for a unit, in plain values.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub module: String,
    pub archive: String,
    pub object: String,
    pub language: String,
    pub producer: String,
    pub front_end: [u16; 4],
    pub back_end: [u16; 4],
    /// `cwd`, compiler, source, PDB, command.
    pub build: [String; 5],
    pub files: Vec<(String, Option<Checksum>)>,
}

/// What both readers give.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub rows: Vec<Row>,
    /// Address, size, characteristics, unit.
    pub contributions: Vec<(u64, u32, u32, usize)>,
    /// The units of each file.
    pub inverse: BTreeMap<String, Vec<usize>>,
}

/// What the two have in common.
pub fn table(info: &BuildInfo) -> Table {
    // The other reader joins no path to a directory.
    let raw = |file: &build_info::File| file.spellings.first().unwrap_or(&file.path).clone();
    let text = |fact: &Option<build_info::Fact<String>>| {
        fact.as_ref().map(|fact| fact.value.clone()).unwrap_or_default()
    };
    let mut table = Table::default();
    for unit in &info.units {
        // The other reader knows nothing of `S_ENVBLOCK`, which these are described by.
        let is_environment = unit.command.is_none() && unit.language.as_deref() != Some("C++");
        let command = match unit.command.as_ref().map(|fact| &fact.value) {
            Some(Command::Line { raw, .. }) => raw.clone(),
            _ => String::new(),
        };
        let build = if is_environment {
            Default::default()
        } else {
            [&unit.cwd, &unit.compiler, &unit.source, &unit.compiler_pdb].map(text)
        };
        let [cwd, compiler, source, pdb] = build;
        let files = unit.files.iter().map(|one| {
            let path = raw(&info.files[one.file.0 as usize]);
            (path, one.checksum.map(|index| info.checksums[index as usize]))
        });
        table.rows.push(Row {
            module: unit.module.clone(),
            archive: unit.archive.clone().unwrap_or_default(),
            object: text(&unit.object),
            language: unit.language.clone().unwrap_or_default(),
            producer: unit.producer.clone().unwrap_or_default(),
            front_end: unit.front_end.map(|version| version.0).unwrap_or_default(),
            back_end: unit.back_end.map(|version| version.0).unwrap_or_default(),
            build: [cwd, compiler, source, pdb, command],
            files: files.collect(),
        });
    }
    for one in &info.contributions {
        let unit = one.unit.0 as usize;
        table.contributions.push((one.address, one.size, one.characteristics, unit));
    }
    for file in info.files.iter().filter(|file| !file.units.is_empty()) {
        let units = file.units.iter().map(|unit| unit.0 as usize);
        let all: &mut Vec<usize> = table.inverse.entry(raw(file)).or_default();
        all.extend(units);
        all.sort_unstable();
    }
    table
}

/// What the `pdb` crate makes of it.
pub fn read<'s>(source: impl Source<'s> + 's) -> pdb::Result<BuildInfo> {
    let mut pdb = pdb::PDB::open(source)?;
    let debug = pdb.debug_information()?;
    let strings = pdb.string_table().ok();
    let ids = pdb.id_information().ok();
    let mut finder = ids.as_ref().map(|ids| ids.finder());
    if let (Some(ids), Some(finder)) = (&ids, &mut finder) {
        let mut iter = ids.iter();
        while iter.next()?.is_some() {
            finder.update(&iter);
        }
    }
    let map = pdb.address_map()?;
    let mut info = BuildInfo::new(Format::Pdb);
    let mut files: HashMap<u32, FileId> = HashMap::new();
    let mut checksums: HashMap<Checksum, u32> = HashMap::new();
    let mut modules = debug.modules()?;
    while let Some(module) = modules.next()? {
        let id = UnitId(info.units.len() as u32);
        let mut unit = Unit { module: module.module_name().into_owned(), ..Unit::default() };
        let archive = module.object_file_name().into_owned();
        unit.archive = (archive != unit.module && !archive.is_empty()).then_some(archive);
        if let Some(streams) = pdb.module_info(&module)? {
            let mut build = None;
            let mut symbols = streams.symbols()?;
            while let Some(symbol) = symbols.next()? {
                match symbol.raw_kind() {
                    S_OBJNAME if unit.object.is_none() => {
                        if let SymbolData::ObjName(name) = symbol.parse()? {
                            let name = name.name.to_string().into_owned();
                            unit.object = Some(Fact::recorded(name));
                        }
                    }
                    S_COMPILE2 | S_COMPILE3 if unit.producer.is_none() => {
                        if let SymbolData::CompileFlags(compile) = symbol.parse()? {
                            unit.language = language(symbol.raw_bytes()[2]);
                            unit.producer = Some(compile.version_string.to_string().into_owned());
                            unit.front_end = Some(version(compile.frontend_version));
                            unit.back_end = Some(version(compile.backend_version));
                        }
                    }
                    S_BUILDINFO => {
                        if let SymbolData::BuildInfo(symbol) = symbol.parse()? {
                            build = Some(symbol.id);
                        }
                    }
                    _ => continue,
                }
                if unit.object.is_some() && unit.producer.is_some() && build.is_some() {
                    break;
                }
            }
            if let (Some(build), Some(finder)) = (build, &finder) {
                describe(&mut unit, environment(finder, build));
            }
            let lines = streams.line_program()?;
            let mut entries = lines.files();
            while let Some(entry) = entries.next()? {
                let checksum = match entry.checksum {
                    pdb::FileChecksum::Md5(it) => Some(Checksum::Md5(it.try_into().unwrap())),
                    pdb::FileChecksum::Sha1(it) => Some(Checksum::Sha1(it.try_into().unwrap())),
                    pdb::FileChecksum::Sha256(it) => {
                        Some(Checksum::Sha256(it.try_into().unwrap()))
                    }
                    pdb::FileChecksum::None => None,
                };
                let file = match files.entry(entry.name.0) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let strings = strings.as_ref().unwrap();
                        let path = entry.name.to_string_lossy(strings)?.into_owned();
                        let (found, spellings, units) = (Found::Unknown, vec![], vec![]);
                        info.files.push(File { path, spellings, found, units });
                        *new.insert(FileId(info.files.len() as u32 - 1))
                    }
                };
                let known = &mut info.files[file.0 as usize];
                if checksum.is_none() && known.path.ends_with("(compiler internal)") {
                    continue;
                }
                if known.units.last() != Some(&id) {
                    known.units.push(id);
                }
                let checksum = checksum.map(|checksum| {
                    *checksums.entry(checksum).or_insert_with(|| {
                        info.checksums.push(checksum);
                        info.checksums.len() as u32 - 1
                    })
                });
                let provenance = Provenance::LineTable;
                unit.files.push(FileUse { file, checksum, provenance });
            }
        }
        info.units.push(unit);
    }
    info.files.iter_mut().for_each(|file| file.units.shrink_to_fit());
    let mut contributions = debug.section_contributions()?;
    while let Some(one) = contributions.next()? {
        let Some(address) = one.offset.to_rva(&map).filter(|_| one.size > 0) else { continue };
        info.contributions.push(Contribution {
            address: address.0.into(),
            size: one.size,
            unit: UnitId(one.module as u32),
            characteristics: one.characteristics.0,
            section: one.offset.section,
            claim: Claim::Sole,
        });
    }
    info.contributions.sort_by_key(|one| (one.address, one.unit));
    Ok(info)
}

fn describe(unit: &mut Unit, environment: [String; 5]) {
    let [cwd, compiler, source, pdb, command] = environment;
    let fact = |text: String| (!text.is_empty()).then(|| Fact::recorded(text));
    unit.cwd = fact(cwd);
    unit.compiler = fact(compiler);
    unit.source = fact(source);
    unit.compiler_pdb = fact(pdb);
    unit.command = (!command.is_empty()).then(|| {
        let quoting = Quoting::Windows;
        Fact::recorded(Command::Line { raw: command, quoting, with_compiler: false, cut: false })
    });
}

fn version(version: pdb::CompilerVersion) -> Version {
    Version([version.major, version.minor, version.build, version.qfe.unwrap_or(0)])
}

fn environment(ids: &ItemFinder<'_, IdIndex>, id: IdIndex) -> [String; 5] {
    let mut strings: [String; 5] = Default::default();
    let Ok(Ok(IdData::BuildInfo(build))) = ids.find(id).map(|item| item.parse()) else {
        return strings;
    };
    for (string, argument) in strings.iter_mut().zip(build.arguments) {
        append(ids, argument, string, 8);
    }
    strings
}

fn append(ids: &ItemFinder<'_, IdIndex>, id: IdIndex, to: &mut String, depth: u32) {
    if depth == 0 || id.0 == 0 {
        return;
    }
    match ids.find(id).map(|item| item.parse()) {
        Ok(Ok(IdData::String(string))) => {
            if let Some(list) = string.substrings {
                append(ids, list, to, depth - 1);
            }
            to.push_str(&string.name.to_string());
        }
        Ok(Ok(IdData::StringList(list))) => {
            list.substrings.into_iter().for_each(|it| append(ids, IdIndex(it.0), to, depth - 1));
        }
        _ => {}
    }
}

fn language(number: u8) -> Option<String> {
    let name = match number {
        0 => "C",
        1 => "C++",
        3 => "MASM",
        7 => "LINK",
        8 => "CVTRES",
        0x15 => "Rust",
        _ => return None,
    };
    Some(name.to_owned())
}

const S_OBJNAME: u16 = 0x1101;
const S_COMPILE2: u16 = 0x1116;
const S_COMPILE3: u16 = 0x113c;
const S_BUILDINFO: u16 = 0x114c;
