//! `link.txt`, which CMake writes for its makefiles: the commands that link one thing.

use super::{Link, Surroundings, options};
use crate::path::Spelled;
use crate::{Command, Disk, Provenance, Quoting};

impl Surroundings {
    /// Adds what a `link.txt` says. `directory` is where make runs the commands.
    pub fn add_link_commands(&mut self, directory: &str, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let raw = line.to_owned();
            let command =
                Command::Line { raw, quoting: Quoting::Posix, with_compiler: true, cut: false };
            let arguments = command.arguments();
            let inputs: Vec<String> =
                arguments.iter().filter(|it| options::is_linked(it)).cloned().collect();
            // An archiver is given the archive first, and no option for it.
            let archive = || inputs.first().cloned();
            if let Some(output) = options::output(&arguments).or_else(archive) {
                self.links.push(Link {
                    directory: directory.to_owned(),
                    inputs: inputs.into_iter().filter(|input| *input != output).collect(),
                    outputs: vec![output],
                    command,
                    provenance: Provenance::Cmake,
                });
            }
        }
    }

    /// The same of a file in `CMakeFiles/<target>.dir` of the directory that it is for.
    pub(super) fn add_link_file(&mut self, path: &str, disk: &dyn Disk) {
        let spelled = Spelled::parse(path, disk.style());
        let above = spelled.names.iter().rposition(|name| *name == "CMakeFiles");
        let Some(names) = above.and_then(|at| spelled.names.get(..at)) else { return };
        let directory = Spelled { names: names.to_vec(), ..spelled.clone() }.to_string();
        match disk.read(path, MOST) {
            Ok(bytes) => {
                self.add_link_commands(&directory, &String::from_utf8_lossy(&bytes));
                self.witness(path.to_owned(), disk);
            }
            Err(error) => self.remarks.push(format!("{path}: {error}")),
        }
    }
}

const MOST: usize = 16 << 20;
