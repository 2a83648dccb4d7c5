//! Ninja: its manifest, which has the commands, and its log of dependencies.

mod log;
mod manifest;
mod scope;

pub use log::{Dependencies, NinjaLog};
pub use manifest::{Edge, Manifest};

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::{Link, Step, Surroundings, find, options};
use crate::{Command, Disk, Error, Provenance, Quoting, Style};

impl Surroundings {
    /// Adds what a manifest (`build.ninja`) says, and Ninja's log of dependencies if it is where
    /// the manifest puts it. `directory` is where Ninja runs.
    ///
    /// The commands are those that `ninja -t compdb -x` prints; nothing is run for them.
    pub fn add_ninja(&mut self, directory: &str, manifest: &str, disk: &dyn Disk) {
        let read = Manifest::read(directory, manifest, disk);
        self.remarks.extend(read.remarks.iter().cloned());
        let (mut links, mut depfiles) = (Vec::new(), Vec::new());
        // Where what is made is made elsewhere than where Ninja runs.
        let mut places = HashMap::new();
        let implied = Implied::of(&read);
        for edge in read.edges {
            let quoting = match disk.style() {
                Style::Posix => Quoting::Posix,
                Style::Windows => Quoting::Windows,
            };
            let raw = edge.command;
            let command = Command::Line { raw, quoting, with_compiler: true, cut: false };
            let mut arguments = command.arguments();
            let mut command = command;
            let mut place = directory.to_owned();
            if let Some((entered, part)) = options::of_chain(&arguments) {
                for inner in entered {
                    place = find::entered(&place, &inner, disk);
                }
                command = Command::Arguments(part.clone());
                arguments = part;
            }
            // Ninja's paths start where it runs, and those of the command where that does.
            let is_elsewhere = place != directory;
            let from_here = |path: String| match is_elsewhere {
                true => find::below(directory, &path, disk),
                false => path,
            };
            let outputs: Vec<String> = edge.outputs.into_iter().map(from_here).collect();
            let inputs: Vec<String> = edge.inputs.into_iter().map(from_here).collect();
            if !edge.reads_more && !options::compiles(&arguments) {
                let (directory, provenance) = (place, Provenance::Ninja);
                links.push(Link { directory, outputs, inputs, command, provenance });
                continue;
            }
            depfiles.extend(edge.depfile.map(|path| (path, place.clone())));
            if is_elsewhere {
                places.extend(outputs.iter().map(|output| (output.clone(), place.clone())));
            }
            let mut sources = inputs.iter().filter(|path| options::is_source(path));
            let source = sources.next().or(inputs.first()).cloned();
            self.steps.push(Step {
                directory: Some(place),
                source,
                outputs,
                command: Some(command),
                inputs: None,
                provenance: Provenance::Ninja,
            });
        }
        self.links.extend(links);
        for path in read.files {
            self.witness(path, disk);
        }
        let log = find::below(&read.log_directory, ".ninja_deps", disk);
        match disk.read(&log, MOST_LOG) {
            Ok(bytes) => {
                match NinjaLog::parse(&bytes) {
                    Ok(read) => self.add_ninja_log_at(directory, &read, &implied, &|output| {
                        let output = find::below(directory, output, disk);
                        places
                            .get_key_value(&output)
                            .map(|(output, place)| (output.clone(), place.clone()))
                    }),
                    Err(error) => self.remarks.push(format!("{log}: {error}")),
                }
                self.witness(log, disk);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.remarks.push(format!("{log}: {error}")),
        }
        for (depfile, place) in depfiles {
            self.add_depfile_at(&find::below(directory, &depfile, disk), Some(&place), disk);
        }
    }

    /// Adds what Ninja's log of dependencies says. `directory` is where Ninja runs.
    pub fn add_ninja_log(&mut self, directory: &str, log: &NinjaLog) {
        self.add_ninja_log_at(directory, log, &Implied::default(), &|_| None);
    }

    /// The same, where some of what is made is made elsewhere, or from more than compilers name.
    fn add_ninja_log_at(
        &mut self,
        directory: &str,
        log: &NinjaLog,
        implied: &Implied,
        place: &dyn Fn(&str) -> Option<(String, String)>,
    ) {
        if log.is_cut {
            self.remarks.push(format!(".ninja_deps of {directory} ends in the middle of a record"));
        }
        // Each path is looked at as often as it is named.
        let mut left = log.length().saturating_mul(NAMED).saturating_add(LEAST);
        let headers: HashMap<&str, Vec<Arc<str>>> =
            log.made_from().filter(|(output, _)| options::is_compiled_header(output)).collect();
        for (output, mut inputs) in log.made_from() {
            let elsewhere = place(output);
            // Those paths start from where Ninja runs.
            if elsewhere.is_none() {
                implied.add_to(&mut inputs, output, &headers, left);
            }
            let cost: usize = inputs.iter().map(|path| path.len()).sum();
            let Some(rest) = left.checked_sub(cost) else {
                self.remarks.push(format!(
                    ".ninja_deps of {directory} names long paths too often: not all was taken"
                ));
                break;
            };
            left = rest;
            let mut sources = inputs.iter().filter(|path| options::is_source(path));
            let source = sources.next().or(inputs.first()).map(ToString::to_string);
            let (output, directory) =
                elsewhere.unwrap_or_else(|| (output.to_owned(), directory.to_owned()));
            self.steps.push(Step {
                directory: Some(directory),
                source,
                outputs: vec![output],
                command: None,
                inputs: Some(inputs),
                provenance: Provenance::Ninja,
            });
        }
    }
}

/// What things are made from besides what compilers name: a manifest's implicit inputs, and what
/// compiled headers among those are made from.
///
/// GCC does not name what is in a precompiled header, nor an assembler what it takes in as it is.
#[derive(Default)]
struct Implied {
    by_output: HashMap<String, Rc<Vec<Arc<str>>>>,
}

impl Implied {
    fn of(manifest: &Manifest) -> Self {
        let mut by_output = HashMap::new();
        for edge in &manifest.edges {
            let is_header = edge.outputs.iter().any(|path| options::is_compiled_header(path));
            let sources = edge.inputs.iter().filter(|_| is_header);
            let mut all: Vec<Arc<str>> =
                edge.implicit.iter().chain(sources).map(|path| Arc::from(&**path)).collect();
            all.sort_unstable();
            all.dedup();
            if !all.is_empty() {
                let all = Rc::new(all);
                by_output.extend(edge.outputs.iter().map(|it| (it.clone(), Rc::clone(&all))));
            }
        }
        Self { by_output }
    }

    /// Adds what an output is made from to what its compiler named, until that has more than `most`
    /// letters.
    fn add_to(
        &self,
        inputs: &mut Vec<Arc<str>>,
        output: &str,
        headers: &HashMap<&str, Vec<Arc<str>>>,
        most: usize,
    ) {
        let mut wanted: Vec<&Arc<str>> =
            self.by_output.get(output).into_iter().flat_map(|it| &**it).collect();
        let (mut seen, mut length) = (HashSet::new(), 0_usize);
        while let Some(path) = wanted.pop() {
            if !seen.insert(&**path) {
                continue;
            }
            inputs.push(Arc::clone(path));
            length = length.saturating_add(path.len());
            if options::is_compiled_header(path) {
                let inside = headers.get(&**path).into_iter().flatten();
                length = inside.clone().fold(length, |sum, it| sum.saturating_add(it.len()));
                inputs.extend(inside.cloned());
                wanted.extend(self.by_output.get(&**path).into_iter().flat_map(|it| &**it));
            }
            if length > most {
                break;
            }
        }
    }
}

/// What [`NinjaLog::parse`] says of a record.
fn malformed(at: usize, what: &'static str, found: u64) -> Error {
    Error::Malformed { structure: ".ninja_deps record", at: at as u64, what, found }
}

const MOST_LOG: usize = 1 << 30;
/// How many letters of paths a byte of a log may stand for: four are a use of a path.
const NAMED: usize = 64;
/// The same of the smallest log.
const LEAST: usize = 16 << 20;
