//! What a binary does not record is filled in from what lies around.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::index::Index;
use super::{Step, Surroundings, options};
use crate::path::{Spelled, style};
use crate::{
    BuildInfo, Command, Fact, File, FileId, FileUse, Format, Found, Kind, Linker, Provenance,
    Quoting, Resolve, Unit, UnitId,
};

impl BuildInfo {
    /// Fills in what the binary does not record.
    ///
    /// A unit's step is the one that made its object, where that is known, and otherwise the ones
    /// with its source; of several those that went into the image, then those in its directory.
    /// If their commands still differ, none is taken, and a remark says so. A step that was done in
    /// another directory than the unit was compiled in, and did not go into the image as far as is
    /// known, is of another build: nothing is taken of it, and a remark says so too.
    ///
    /// Nothing that is recorded whole is overwritten: where a build system says otherwise, a remark
    /// says so. What is recorded in part (GCC's producer, a command that was cut, a line table)
    /// gives way to what is whole; with a command comes the directory that it is run in. Files of
    /// a line table that a build system does not name stay: dependency files may leave out the
    /// system's. Each fact says where it is from.
    ///
    /// [Resolve](Self::resolve) afterwards, so that files become one that were named in two ways.
    pub fn fill(&mut self, around: &Surroundings, resolve: &Resolve) {
        let format = self.format;
        let index = Index::new(around, resolve, format, self.units.len());
        let mut names = Names::new(self);
        let mut remarks = around.remarks.clone();
        let mut units = std::mem::take(&mut self.units);
        let (mut foreign, mut is_its_link) = (Foreign::default(), !index.link_is_guessed);
        for (number, unit) in (0..).zip(&mut units) {
            if unit.kind != Kind::Source {
                continue;
            }
            let elsewhere = Cell::new(None);
            let mut matching = Matching { index: &index, resolve, format, unit, elsewhere };
            let chosen = matching.command(&mut remarks);
            let lists = matching.lists(chosen);
            let matched = chosen.iter().chain(&lists);
            is_its_link = is_its_link || matched.clone().any(|step| matching.is_linked(step));
            if matched.count() == 0 {
                foreign.note(matching.elsewhere.get(), matching.unit);
            }
            let own = unit.command.as_ref().map(|fact| fact.value.arguments());
            for step in lists {
                let leaves_out = index.leaves_out_system(step, own.as_deref(), resolve, format);
                let provenance = if leaves_out { Provenance::OwnHeaders } else { step.provenance };
                names.note(&mut self.files, unit, UnitId(number), step, provenance);
                unit.is_whole_by(provenance);
            }
        }
        self.units = units;
        remarks.extend(foreign.remark());
        if index.is_spent() {
            remarks.push("so much is made from one source that not all of it was compared".into());
        }
        if let Some(link) = index.link.filter(|_| is_its_link) {
            let linker = self.linker.get_or_insert_with(Linker::default);
            let provenance = link.provenance;
            if linker.command.is_none() {
                let arguments = link.command.arguments();
                let executable = arguments.first().cloned();
                linker.command = Some(Fact { value: link.command.clone(), provenance });
                linker.cwd = Some(Fact { value: link.directory.clone(), provenance });
                let executable = executable.map(|value| Fact { value, provenance });
                linker.executable = linker.executable.take().or(executable);
            }
        }
        self.remark(remarks);
    }

    fn remark(&mut self, remarks: Vec<String>) {
        let more = remarks.len().saturating_sub(MOST_REMARKS);
        self.remarks.extend(remarks.into_iter().take(MOST_REMARKS));
        if more > 0 {
            self.remarks.push(format!("{more} more remarks on what lies around"));
        }
    }
}

impl Unit {
    /// Whether its files are listed by somebody who knows them all, and not only by a line table.
    ///
    /// What a PDB records counts as such, though older compilers of Microsoft left out headers
    /// without code.
    pub fn has_all_files(&self) -> bool {
        let knows = |one: &FileUse| {
            use Provenance::{CargoMessages, Compiler, Depfile, Macros, Ninja};
            matches!(one.provenance, Macros | Ninja | Depfile | CargoMessages | Compiler)
        };
        let recorded = |one: &FileUse| one.provenance == Provenance::Recorded;
        self.files.iter().any(knows) || (self.files.len() > 1 && self.files.iter().all(recorded))
    }

    /// Notes that all files are known. Where they are none but those that the compiler names anyway,
    /// as for a source that includes nothing, the first says so.
    pub(crate) fn is_whole_by(&mut self, provenance: Provenance) {
        let is_told = self.files.iter().any(|one| one.provenance == provenance);
        let says = !is_told && !provenance.is_lower_bound();
        if let Some(first) = self.files.first_mut().filter(|_| says) {
            first.provenance = provenance;
        }
    }
}

/// A unit, and the steps that may have made it.
struct Matching<'a, 'b> {
    index: &'b Index<'a>,
    resolve: &'b Resolve,
    format: Format,
    unit: &'b mut Unit,
    /// A step that would have made the unit, but in another directory.
    elsewhere: Cell<Option<&'a Step>>,
}

impl<'a> Matching<'a, '_> {
    /// Takes the command of the step that made the unit; says which it was.
    fn command(&mut self, remarks: &mut Vec<String>) -> Option<&'a Step> {
        let steps = self.made_by(|step| step.command.is_some());
        let first = *steps.first()?;
        let named =
            || self.unit.source.as_ref().map_or(&*self.unit.module, |source| &*source.value);
        let essence = |step: &Step| {
            let arguments = step.command.as_ref().map(Command::arguments).unwrap_or_default();
            options::essence(&arguments).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        if steps.iter().skip(1).any(|step| essence(step) != essence(first)) {
            let count = steps.len();
            remarks.push(format!("{} is compiled in {count} ways: which is not known", named()));
            return None;
        }
        let recorded = self.unit.command.as_ref().map(|fact| &fact.value);
        let is_whole = recorded.is_some_and(|command| {
            let partial = matches!(command, Command::Line { quoting: Quoting::Words, .. });
            !partial && !command.is_cut()
        });
        if let Some(command) = recorded.filter(|command| is_whole && command.with_compiler()) {
            let sorted = |mut options: Vec<String>| {
                options.sort_unstable();
                options
            };
            let arguments = command.arguments();
            let recorded = options::essence(&arguments).iter().map(ToString::to_string).collect();
            if sorted(recorded) != sorted(essence(first)) {
                remarks.push(format!(
                    "{} was compiled with other options than {} has now",
                    named(),
                    first.provenance
                ));
            }
        }
        let provenance = first.provenance;
        let unit = &mut *self.unit;
        let fact = |value: &String| Fact { value: value.clone(), provenance };
        if !is_whole {
            let command = first.command.clone();
            let arguments = command.as_ref().map(Command::arguments).unwrap_or_default();
            unit.command = command.map(|value| Fact { value, provenance });
            unit.compiler = unit.compiler.take().or_else(|| arguments.first().map(fact));
            if let Some(directory) = &first.directory {
                unit.cwd = unit.cwd.take().filter(|cwd| cwd.value == *directory);
                unit.cwd.get_or_insert_with(|| fact(directory));
            }
        }
        unit.source = unit.source.take().or_else(|| first.source.as_ref().map(fact));
        unit.object = unit.object.take().or_else(|| first.outputs.first().map(fact));
        Some(first)
    }

    /// The steps that say which files the unit was made from.
    fn lists(&self, chosen: Option<&Step>) -> Vec<&'a Step> {
        if let Some(Step { directory: Some(directory), outputs, .. }) = chosen {
            let keys: HashSet<String> =
                outputs.iter().map(|path| self.resolve.key(directory, path, self.format)).collect();
            let same: Vec<&Step> = keys
                .iter()
                .flat_map(|key| self.index.of_output(key))
                .filter(|step| step.has_inputs())
                .collect();
            if !same.is_empty() {
                return same;
            }
        }
        self.made_by(Step::has_inputs)
    }

    /// The steps of a kind that made the unit: the most certain ones.
    fn made_by(&self, wanted: impl Fn(&Step) -> bool) -> Vec<&'a Step> {
        let (resolve, format) = (self.resolve, self.format);
        let cwd = self.unit.cwd.as_ref().map_or("", |cwd| &*cwd.value);
        let is_absolute = |path: &str| Spelled::parse(path, style(format)).is_absolute();
        let key = |path: &str| resolve.key(cwd, path, format);
        let objects = self.objects();
        let certain = |path: &&String| is_absolute(path) || is_absolute(cwd);
        let keys: BTreeSet<String> = objects.iter().filter(certain).map(|path| key(path)).collect();
        let made: Vec<&Step> =
            keys.iter().flat_map(|key| self.index.of_output(key)).filter(|it| wanted(it)).collect();
        if !made.is_empty() {
            return made;
        }
        let Some(source) = self.unit.source.as_ref().map(|fact| source_file(&fact.value)) else {
            return Vec::new();
        };
        if !is_absolute(source) && !is_absolute(cwd) {
            // All that is known is a name.
            let named = self.index.of_name(source).filter(|step| {
                wanted(step) && step.source.as_ref().is_some_and(|path| ends_with(path, source))
            });
            let named: Vec<&Step> = named.collect();
            return if self.index.spend(named.len()) { self.narrowed(named) } else { Vec::new() };
        }
        let source = key(source);
        let of_source: Vec<&Step> =
            self.index.of_source(&source).filter(|step| wanted(step)).collect();
        // A depfile's paths start where the compiler ran.
        let adrift = self.index.adrift(cwd, &source, resolve, format).filter(|step| wanted(step));
        let adrift: Vec<&Step> = adrift.collect();
        if !self.index.spend(adrift.len().saturating_add(of_source.len())) {
            return Vec::new();
        }
        let of_objects = adrift
            .iter()
            .copied()
            .filter(|step| step.outputs.iter().any(|output| keys.contains(&key(output))));
        let of_objects: Vec<&Step> = of_objects.collect();
        let adrift = if of_objects.is_empty() { adrift } else { of_objects };
        self.narrowed([of_source, adrift].concat())
    }

    /// Of the steps that are not of another build those that went into the image, and of those the
    /// ones in the directory of the unit; if there is none of them, all.
    fn narrowed(&self, mut steps: Vec<&'a Step>) -> Vec<&'a Step> {
        let Self { index, resolve, format, .. } = *self;
        let cwd = self.unit.cwd.as_ref().map_or("", |cwd| &*cwd.value);
        let here = resolve.key(cwd, "", format);
        let is_known = Spelled::parse(cwd, style(format)).is_absolute();
        let is_here = |step: &&Step| {
            step.directory.as_ref().is_none_or(|it| resolve.key(it, "", format) == here)
        };
        // What another image of the same name was linked from says nothing of this one.
        let is_linked = |step: &&Step| !index.link_is_guessed && self.is_linked(step);
        steps.retain(|step| {
            let is_its = !is_known || is_here(step) || is_linked(step);
            if !is_its {
                self.elsewhere.set(Some(step));
            }
            is_its
        });
        let tests: [&dyn Fn(&&Step) -> bool; 2] = [&is_linked, &is_here];
        for test in tests {
            if steps.len() > 1 && steps.iter().any(test) {
                steps.retain(|step| test(step));
            }
        }
        steps
    }

    /// Whether something of a step is known to have gone into the image.
    fn is_linked(&self, step: &Step) -> bool {
        let cwd = self.unit.cwd.as_ref().map_or("", |cwd| &*cwd.value);
        let start = step.directory.as_deref().unwrap_or(cwd);
        let key = |path: &String| self.resolve.key(start, path, self.format);
        let outputs: Vec<String> = step.outputs.iter().map(key).collect();
        self.index.is_linked(&outputs) == Some(true)
    }

    /// What is known of where the unit's object is.
    fn objects(&self) -> Vec<String> {
        let unit = &*self.unit;
        let recorded = unit.object.iter().map(|object| object.value.clone());
        let module = (!unit.module.is_empty()).then(|| unit.module.clone());
        let command = unit.command.as_ref().map(|command| command.value.arguments());
        let told = command.and_then(|arguments| options::output(&arguments));
        recorded.chain(module).chain(told).filter(|path| !path.is_empty()).collect()
    }
}

impl Step {
    /// Whether files are listed: Ninja notes none where it did not understand the compiler.
    fn has_inputs(&self) -> bool {
        self.inputs.as_ref().is_some_and(|inputs| !inputs.is_empty())
    }
}

/// The files that are known, by the letters of their paths.
struct Names(HashMap<String, FileId>);

impl Names {
    fn new(info: &BuildInfo) -> Self {
        let key = |file: &File| Spelled::parse(&file.path, style(info.format)).collapsed().key();
        Self((0..).map(FileId).zip(&info.files).map(|(id, file)| (key(file), id)).collect())
    }

    /// Notes that a unit was made from the files that a step names.
    fn note(
        &mut self,
        files: &mut Vec<File>,
        unit: &mut Unit,
        id: UnitId,
        step: &Step,
        provenance: Provenance,
    ) {
        let cwd = unit.cwd.as_ref().map_or("", |cwd| &*cwd.value);
        let directory = step.directory.as_deref().unwrap_or(cwd);
        let directory = Spelled::parse(directory, Spelled::likely_style(directory));
        let mut known: HashMap<FileId, usize> =
            unit.files.iter().enumerate().map(|(at, one)| (one.file, at)).collect();
        for path in step.inputs.iter().flatten() {
            let whole = Spelled::parse_in(path, &directory);
            let (path, key) = (whole.to_string(), whole.collapsed().key());
            let next = FileId(u32::try_from(files.len()).unwrap_or(u32::MAX));
            let file = *self.0.entry(key).or_insert_with(|| {
                let units = Vec::new();
                files.push(File { path, spellings: Vec::new(), found: Found::Unknown, units });
                next
            });
            if let Some(one) = known.get(&file).and_then(|&at| unit.files.get_mut(at)) {
                if one.provenance.is_lower_bound() || one.provenance == Provenance::Derived {
                    one.provenance = provenance;
                }
                continue;
            }
            known.insert(file, unit.files.len());
            unit.files.push(FileUse { file, checksum: None, provenance });
            if let Some(file) = files.get_mut(file.0 as usize)
                && let Err(at) = file.units.binary_search(&id)
            {
                file.units.insert(at, id);
            }
        }
    }
}

/// Units that another build has made too.
#[derive(Default)]
struct Foreign {
    count: usize,
    example: Option<(String, String)>,
}

impl Foreign {
    fn note(&mut self, elsewhere: Option<&Step>, unit: &Unit) {
        let Some(directory) = elsewhere.and_then(|step| step.directory.clone()) else { return };
        self.count = self.count.saturating_add(1);
        self.example.get_or_insert_with(|| (unit.name().to_owned(), directory));
    }

    fn remark(self) -> Option<String> {
        let (name, directory) = self.example?;
        let more = match self.count {
            1 => String::new(),
            count => format!(" and {} more", count.saturating_sub(1)),
        };
        Some(format!(
            "what lies around is of another build: it compiles {name}{more} in {directory}"
        ))
    }
}

/// The source of a unit. Rustc has the name of its part of the crate behind it.
pub(crate) fn source_file(recorded: &str) -> &str {
    recorded.split_once("/@/").map_or(recorded, |(source, _)| source)
}

/// Whether the last names of a path are those of another.
fn ends_with(path: &str, end: &str) -> bool {
    let style = Spelled::likely_style(path);
    let (path, end) = (Spelled::parse(path, style), Spelled::parse(end, style));
    let fold = |name: &&str| style.fold(name).into_owned();
    last_name_first(&end).zip(last_name_first(&path)).all(|(one, other)| fold(&one) == fold(&other))
        && end.names.len() <= path.names.len()
}

fn last_name_first<'a>(path: &'a Spelled<'_>) -> impl Iterator<Item = &'a str> {
    path.names.iter().rev().copied()
}

const MOST_REMARKS: usize = 100;
