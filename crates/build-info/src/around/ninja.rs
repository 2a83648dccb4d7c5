//! Ninja: its manifest, which has the commands, and its log of dependencies.

mod log;
mod manifest;
mod scope;

pub use log::{Dependencies, NinjaLog};
pub use manifest::{Edge, Manifest};

use super::options;
use super::{Link, Step, Surroundings};
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
            if let Some((inner, part)) = options::of_chain(&arguments) {
                place = inner.map_or(place, |inner| super::find::below(directory, &inner, disk));
                command = Command::Arguments(part.clone());
                arguments = part;
            }
            if !edge.reads_more && !options::compiles(&arguments) {
                links.push(Link {
                    directory: directory.to_owned(),
                    outputs: edge.outputs,
                    inputs: edge.inputs,
                    command,
                    provenance: Provenance::Ninja,
                });
                continue;
            }
            depfiles.extend(edge.depfile);
            let mut sources = edge.inputs.iter().filter(|path| options::is_source(path));
            let source = sources.next().or(edge.inputs.first()).cloned();
            self.steps.push(Step {
                directory: Some(directory.to_owned()),
                source,
                outputs: edge.outputs,
                command: Some(command),
                inputs: None,
                provenance: Provenance::Ninja,
            });
        }
        self.links.extend(links);
        for path in read.files {
            self.witness(path, disk);
        }
        let log = super::find::below(&read.log_directory, ".ninja_deps", disk);
        match disk.read(&log, MOST_LOG) {
            Ok(bytes) => {
                match NinjaLog::parse(&bytes) {
                    Ok(read) => self.add_ninja_log(directory, &read),
                    Err(error) => self.remarks.push(format!("{log}: {error}")),
                }
                self.witness(log, disk);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.remarks.push(format!("{log}: {error}")),
        }
        for depfile in depfiles {
            self.add_depfile_at(
                &super::find::below(directory, &depfile, disk),
                Some(directory),
                disk,
            );
        }
    }

    /// Adds what Ninja's log of dependencies says. `directory` is where Ninja runs.
    pub fn add_ninja_log(&mut self, directory: &str, log: &NinjaLog) {
        if log.is_cut {
            self.remarks.push(format!(".ninja_deps of {directory} ends in the middle of a record"));
        }
        for dependencies in log.dependencies() {
            let inputs: Vec<String> = dependencies.inputs.into_iter().map(str::to_owned).collect();
            let mut sources = inputs.iter().filter(|path| options::is_source(path));
            self.steps.push(Step {
                directory: Some(directory.to_owned()),
                source: sources.next().or(inputs.first()).cloned(),
                outputs: vec![dependencies.output.to_owned()],
                command: None,
                inputs: Some(inputs),
                provenance: Provenance::Ninja,
            });
        }
    }
}

/// What [`NinjaLog::parse`] says of a record.
fn malformed(at: usize, what: &'static str, found: u64) -> Error {
    Error::Malformed { structure: ".ninja_deps record", at: at as u64, what, found }
}

const MOST_LOG: usize = 1 << 30;
