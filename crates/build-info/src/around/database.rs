//! `compile_commands.json`, which CMake, Bear and many others write.

use serde::Deserialize;

use super::options;
use super::{Step, Surroundings, TextError};
use crate::path::Spelled;
use crate::{Command, Provenance, Quoting, Style};

impl Surroundings {
    /// Adds what a `compile_commands.json` says.
    ///
    /// A `command` is split as the system splits that the directory's path is of.
    ///
    /// # Errors
    ///
    /// It is no JSON, or of another shape.
    ///
    /// ```
    /// let mut around = build_info::around::Surroundings::default();
    /// let json = br#"[{"directory":"/b","file":"a.c","command":"cc -DX='1 2' -c a.c -o a.o"}]"#;
    /// around.add_compile_commands(json)?;
    /// assert_eq!(around.steps[0].outputs, ["a.o"]);
    /// # Ok::<(), build_info::around::TextError>(())
    /// ```
    pub fn add_compile_commands(&mut self, json: &[u8]) -> Result<(), TextError> {
        let entries: Vec<Entry> = serde_json::from_slice(json).map_err(|error| TextError {
            structure: "compile_commands.json",
            line: error.line(),
            what: error.to_string(),
        })?;
        self.steps.extend(entries.into_iter().map(Entry::step));
        Ok(())
    }
}

#[derive(Deserialize)]
struct Entry {
    directory: String,
    file: String,
    command: Option<String>,
    arguments: Option<Vec<String>>,
    output: Option<String>,
}

impl Entry {
    fn step(self) -> Step {
        let windows = Spelled::parse(&self.directory, Style::Posix).style == Style::Windows;
        let quoting = if windows { Quoting::Windows } else { Quoting::Posix };
        let line = |raw| Command::Line { raw, quoting, with_compiler: true, cut: false };
        // Who has both is asked for the arguments: nothing is left to be split.
        let command = self.arguments.map(Command::Arguments).or_else(|| self.command.map(line));
        let told = || options::output(&command.as_ref()?.arguments());
        Step {
            outputs: self.output.clone().or_else(told).into_iter().collect(),
            directory: Some(self.directory),
            source: Some(self.file),
            command,
            inputs: None,
            provenance: Provenance::CompileCommands,
        }
    }
}
