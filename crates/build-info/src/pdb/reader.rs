//! The streams put together.

use std::collections::HashMap;

use crate::{
    BuildInfo, Command, Error, Fact, Format, Identity, Linker, Provenance, Questions, Quoting,
    ReadAt, Unit, UnitId,
};

use super::budget::Budget;
use super::checksums;
use super::compile::Compile;
use super::contributions;
use super::dbi::{Dbi, Module};
use super::files::Files;
use super::ids::{Build, Ids, Text};
use super::info::Info;
use super::kind::kind;
use super::msf::{Msf, Stream, malformed};
use super::sections::Sections;
use super::symbols::{Depth, Found};
use super::window::Window;

pub(super) fn identity(source: &dyn ReadAt) -> Result<Identity, Error> {
    let msf = Msf::open(source)?;
    let (info, dbi) = (Info::read(&msf)?, Dbi::read(&msf)?);
    Ok(identity_of(&info, &dbi))
}

fn identity_of(info: &Info, dbi: &Dbi) -> Identity {
    let age = if dbi.age == 0 { info.age } else { dbi.age };
    Identity::Pdb { guid: info.guid, age }
}

pub(super) fn read(source: &dyn ReadAt, questions: &Questions) -> Result<BuildInfo, Error> {
    let length = source.length().unwrap_or(0);
    let msf = Msf::open(source)?;
    let info = Info::read(&msf)?;
    let dbi = Dbi::read(&msf)?;
    let mut reader = Reader {
        msf: &msf,
        questions: *questions,
        answer: BuildInfo::new(Format::Pdb),
        files: Files::default(),
        builds: Vec::new(),
        symbols: Vec::new(),
        linker_sections: Vec::new(),
        budget: Budget::of(length),
        damage: Damage::default(),
    };
    reader.answer.identity = Some(identity_of(&info, &dbi));
    reader.modules(&dbi);
    if questions.files {
        reader.names(&info);
    }
    let needs_directories = reader.files.has_relative();
    if needs_directories && !questions.commands {
        reader.find_directories();
    }
    if questions.commands || needs_directories {
        reader.commands(&info);
    }
    if needs_directories {
        reader.files.join(&mut reader.answer.units, &mut reader.budget);
    }
    if questions.contributions {
        reader.contributions(&dbi);
    }
    Ok(reader.finish(&info, &dbi))
}

struct Reader<'m> {
    msf: &'m Msf<'m>,
    questions: Questions,
    answer: BuildInfo,
    files: Files,
    /// The numbers of the `LF_BUILDINFO`s.
    builds: Vec<(UnitId, u32)>,
    /// The stream of each unit, and how much of it is symbols.
    symbols: Vec<(Option<Stream>, u32)>,
    linker_sections: Vec<(u16, u32, u32)>,
    budget: Budget,
    damage: Damage,
}

impl Reader<'_> {
    fn modules(&mut self, dbi: &Dbi) {
        let (modules, damage) = dbi.modules(self.msf);
        if let Some(error) = damage {
            self.answer.remarks.push(format!("further modules are not known: {error}"));
        }
        // A stream is of one module; if more of them claim it, each would be walked again.
        let mut seen = HashMap::new();
        let mut window = None;
        self.answer.units.reserve_exact(modules.len());
        for (index, module) in modules.into_iter().enumerate() {
            let id = UnitId(u32::try_from(index).unwrap_or(u32::MAX));
            let stream = module.stream.and_then(|stream| self.msf.stream(stream));
            let first = module.stream.map(|stream| *seen.entry(stream).or_insert(id));
            let mut found = Found::default();
            let mut unit = Unit::default();
            self.symbols.push((stream.filter(|_| first == Some(id)), module.symbols));
            if let (Some(stream), Some(first)) = (stream, first) {
                if first == id {
                    let window = window.get_or_insert_with(|| Window::new(self.msf, stream, 1, 12));
                    window.turn_to(stream);
                    let result = self.module(&module, window, &mut found, &mut unit, id);
                    self.damage.note("module", &module.name, result);
                } else {
                    let what = "its stream is another module's";
                    let error = malformed("module", id.0, what, module.stream.unwrap_or(0));
                    self.damage.note("module", &module.name, Err(error));
                }
            }
            self.describe(module, found, &mut unit, id);
            self.answer.units.push(unit);
        }
    }

    fn module(
        &mut self,
        module: &Module,
        window: &mut Window<'_>,
        found: &mut Found,
        unit: &mut Unit,
        id: UnitId,
    ) -> Result<(), Error> {
        let lines = module.symbols.saturating_add(module.old_lines);
        let depth = if module.name == LINKER {
            Depth::End
        } else if self.questions.commands {
            Depth::Build
        } else {
            Depth::Names
        };
        let symbols = Found::read(window, module.symbols.min(window.size()), depth, found);
        let mut files = Ok(());
        if self.questions.files && module.lines > 0 {
            let whole = found.compile.as_ref().is_some_and(Compile::lists_every_file);
            let provenance = if whole { Provenance::Recorded } else { Provenance::LineTable };
            let end = lines.saturating_add(module.lines).min(window.size());
            files = checksums::read(window, lines, end, |entry| {
                unit.files.push(self.files.add(entry, id, provenance));
            });
        }
        symbols.and(files)
    }

    /// What the module's own symbols say.
    fn describe(&mut self, module: Module, found: Found, unit: &mut Unit, id: UnitId) {
        let language = found.compile.as_ref().map(|compile| compile.language);
        unit.kind = kind(&module, found.object.as_deref(), language);
        if let Some(compile) = found.compile {
            unit.language = compile.language_name().map(str::to_owned);
            unit.target = compile.target().map(str::to_owned);
            unit.flags = compile.flags();
            unit.front_end = Some(compile.front_end);
            unit.back_end = Some(compile.back_end);
            unit.producer = Some(compile.producer);
        }
        unit.object = found.object.filter(|object| !object.is_empty()).map(Fact::recorded);
        if module.object_file != module.name && !module.object_file.is_empty() {
            unit.archive = Some(module.object_file);
        }
        unit.module = module.name;
        self.builds.extend(found.build.map(|build| (id, build)));
        self.linker_sections.extend(found.sections);
        self.answer.groups.extend(found.groups);
        if !self.questions.commands {
            return;
        }
        if unit.module == LINKER {
            self.answer.linker = Some(linker(found.environment, unit.producer.clone()));
            return;
        }
        for (name, value) in found.environment {
            let value = Some(value).filter(|value| !value.is_empty()).map(Fact::recorded);
            match name.as_str() {
                "cwd" => unit.cwd = value,
                "cl" | "exe" => unit.compiler = value,
                "src" => unit.source = value,
                "pdb" => unit.compiler_pdb = value,
                "obj" if unit.object.is_none() => unit.object = value,
                "cmd" => unit.command = value.map(|fact| command(fact.value, false)),
                _ => {}
            }
        }
    }

    fn names(&mut self, info: &Info) {
        let stream = info.names.and_then(|stream| self.msf.stream(stream));
        match self.files.read_names(self.msf, stream, &mut self.budget) {
            Ok(0) => {}
            Ok(lost) => {
                self.answer.remarks.push(format!("the names of {lost} files are not there"));
            }
            Err(error) => self.answer.remarks.push(error.to_string()),
        }
        self.files.drop_built_in(&mut self.answer.units);
    }

    /// Looks for the directories of the units whose files have relative paths, where nobody asked
    /// for commands.
    fn find_directories(&mut self) {
        let units = self.answer.units.iter_mut().zip(&self.symbols).zip(0..);
        for ((unit, &(stream, symbols)), id) in units {
            let Some(stream) = stream else { continue };
            if !unit.files.iter().any(|one| self.files.is_relative(one)) {
                continue;
            }
            let mut window = Window::new(self.msf, stream, 1, 12);
            let mut found = Found::default();
            let result =
                Found::read(&mut window, symbols.min(stream.size), Depth::Build, &mut found);
            self.damage.note("module", &unit.module, result);
            self.builds.extend(found.build.map(|build| (UnitId(id), build)));
            let mut environment = found.environment.into_iter();
            let cwd = environment.find(|(name, _)| name == "cwd").map(|(_, value)| value);
            unit.cwd = cwd.filter(|cwd| !cwd.is_empty()).map(Fact::recorded);
        }
    }

    fn commands(&mut self, info: &Info) {
        if self.builds.is_empty() {
            return;
        }
        if !info.has_ids {
            let what = "the PDB has no identifiers, and so no commands that refer to them";
            self.answer.remarks.push(what.to_owned());
            return;
        }
        let mut ids = match Ids::open(self.msf) {
            Ok(ids) => ids,
            Err(error) => {
                self.answer.remarks.push(format!("commands are not known: {error}"));
                return;
            }
        };
        let mut known = Known::default();
        for (id, number) in std::mem::take(&mut self.builds) {
            let Some(unit) = self.answer.units.get_mut(id.0 as usize) else { continue };
            let Some(build) = ids.build(number) else {
                let what = "its build information is not among the identifiers";
                let error = malformed("S_BUILDINFO", id.0, what, number);
                self.damage.note("module", &unit.module, Err(error));
                continue;
            };
            known.describe(build, unit, &mut ids, &mut self.budget, self.questions.commands);
        }
    }

    fn contributions(&mut self, dbi: &Dbi) {
        let mut sections = Sections::read(self.msf, dbi);
        if sections.is_empty() {
            sections = Sections::of_linker(&self.linker_sections);
        }
        let units = &mut self.answer.units;
        match contributions::read(self.msf, dbi, &sections, units.len()) {
            Ok((contributions, strays)) => {
                contributions::weigh(&contributions, units);
                self.answer.contributions = contributions;
                if strays > 0 {
                    let what = "contributions are of no module or in no section of the image";
                    self.answer.remarks.push(format!("{strays} {what}"));
                }
            }
            Err(error) => self.answer.remarks.push(error.to_string()),
        }
        if dbi.original_sections.is_some() {
            let what = "the image was rearranged after linking: addresses are as linked";
            self.answer.remarks.push(what.to_owned());
        }
        self.answer.groups.retain_mut(|group| {
            let offset = u32::try_from(group.address).unwrap_or(u32::MAX);
            let address = sections.address(group.section, offset);
            group.address = address.unwrap_or(0);
            address.is_some()
        });
        self.answer.groups.sort_by_key(|group| group.address);
    }

    fn finish(self, info: &Info, dbi: &Dbi) -> BuildInfo {
        let mut answer = self.answer;
        if info.is_minimal {
            answer.remarks.push(MINIMAL.to_owned());
        }
        if dbi.is_stripped {
            answer.remarks.push(STRIPPED.to_owned());
        }
        if self.budget.is_spent {
            answer.remarks.push(SPENT.to_owned());
        }
        answer.remarks.append(&mut self.damage.remarks());
        if !self.questions.contributions {
            answer.groups.clear();
        }
        answer.files = self.files.files;
        answer.checksums = self.files.checksums;
        answer
    }
}

/// Strings that units have in common are looked up once.
#[derive(Default)]
struct Known(HashMap<u32, String>);

impl Known {
    fn describe(
        &mut self,
        build: Build,
        unit: &mut Unit,
        ids: &mut Ids<'_>,
        budget: &mut Budget,
        all: bool,
    ) {
        unit.cwd = self.shared(build.cwd, ids, budget);
        if !all {
            return;
        }
        unit.compiler = self.shared(build.compiler, ids, budget);
        unit.compiler_pdb = self.shared(build.pdb, ids, budget);
        unit.source = fact(string(&ids.text(build.source, budget)));
        let Text { text, is_cut } = ids.text(build.command, budget);
        let raw = String::from_utf8_lossy(&text).into_owned();
        unit.command = (!raw.is_empty()).then(|| command(raw, is_cut));
    }

    fn shared(
        &mut self,
        number: u32,
        ids: &mut Ids<'_>,
        budget: &mut Budget,
    ) -> Option<Fact<String>> {
        if let Some(known) = self.0.get(&number) {
            return fact(if budget.take(known.len()) { known.clone() } else { String::new() });
        }
        let text = string(&ids.text(number, budget));
        self.0.insert(number, text.clone());
        fact(text)
    }
}

fn string(text: &Text) -> String {
    String::from_utf8_lossy(&text.text).into_owned()
}

fn fact(text: String) -> Option<Fact<String>> {
    (!text.is_empty()).then(|| Fact::recorded(text))
}

/// LLVM puts each argument in double quotes, and a backslash before what is special there, as
/// shells read it; Microsoft's compiler writes as programs of Windows read it.
fn command(raw: String, cut: bool) -> Fact<Command> {
    let quoting = if raw.starts_with("\"-cc1") { Quoting::Posix } else { Quoting::Windows };
    Fact::recorded(Command::Line { raw, quoting, with_compiler: false, cut })
}

fn linker(environment: Vec<(String, String)>, producer: Option<String>) -> Linker {
    let mut linker = Linker { producer, ..Linker::default() };
    for (name, value) in environment {
        let value = Some(value).filter(|value| !value.is_empty()).map(Fact::recorded);
        match name.as_str() {
            "cwd" => linker.cwd = value,
            "exe" => linker.executable = value,
            "pdb" => linker.pdb = value,
            "cmd" => linker.command = value.map(|fact| command(fact.value, false)),
            _ => {}
        }
    }
    linker
}

/// What is wrong with single modules: the first few in words, and how many more.
#[derive(Default)]
struct Damage {
    first: Vec<String>,
    more: u64,
}

impl Damage {
    fn note(&mut self, what: &str, name: &str, result: Result<(), Error>) {
        let Err(error) = result else { return };
        if self.first.len() < MOST_REMARKS {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            self.first.push(format!("{what} {name}: {error}"));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn remarks(self) -> Vec<String> {
        let mut remarks = self.first;
        if self.more > 0 {
            remarks.push(format!("{} more modules are damaged", self.more));
        }
        remarks
    }
}

const LINKER: &str = "* Linker *";
const MOST_REMARKS: usize = 16;
const LONGEST_NAME: usize = 260;
const MINIMAL: &str = "the PDB was made with /DEBUG:FASTLINK: commands and files have stayed in the \
                       object files; link with /DEBUG:FULL, or complete it with mspdbcmf";
const STRIPPED: &str = "the PDB is a stripped one (/PDBSTRIPPED): commands and files are not in it";
const SPENT: &str = "text that repeats itself beyond measure was left out";
