//! Cargo: what it says while it builds.

use serde::Deserialize;

use super::depfile::Depfile;
use super::{Step, Surroundings, find, options};
use crate::{Command, Disk, Provenance, Quoting};

/// What cargo said: its messages (`--message-format=json`), and the commands that it shows with
/// `-v`, in one text or in several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CargoOutput {
    /// What was made.
    pub artifacts: Vec<Artifact>,
    /// The compilers that were called, as a shell would be told.
    pub commands: Vec<String>,
}

/// Something that cargo made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    /// The source that names all others.
    pub source: String,
    /// What came out.
    pub outputs: Vec<String>,
}

impl CargoOutput {
    /// Takes the output of a `cargo build` apart. It never fails: other lines are left out.
    ///
    /// ```
    /// let said = br#"{"reason":"compiler-artifact","target":{"src_path":"/p/src/main.rs"},"filenames":["/p/t/p"]}
    ///      Running `rustc --crate-name p src/main.rs`
    /// "#;
    /// let output = build_info::around::CargoOutput::parse(said);
    /// assert_eq!(output.artifacts[0].source, "/p/src/main.rs");
    /// assert_eq!(output.commands, ["rustc --crate-name p src/main.rs"]);
    /// ```
    pub fn parse(bytes: &[u8]) -> Self {
        let mut output = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let line = line.trim();
            if line.starts_with('{') {
                let message = serde_json::from_str::<Message>(line).ok();
                let artifact = message.filter(|it| it.reason == "compiler-artifact");
                output.artifacts.extend(artifact.and_then(Message::artifact));
            } else if let Some((_, command)) = line.split_once("Running `") {
                output.commands.extend(command.strip_suffix('`').map(str::to_owned));
            }
        }
        output
    }
}

impl Surroundings {
    /// Adds what cargo said, and for what it made the dependency files that rustc left beside it.
    /// `directory` is the workspace's, in which cargo runs rustc.
    pub fn add_cargo(&mut self, directory: &str, output: &CargoOutput, disk: &dyn Disk) {
        for artifact in &output.artifacts {
            for made in &artifact.outputs {
                let Some(path) = depfile_of(made) else { continue };
                let Ok(bytes) = disk.read(&find::below(directory, &path, disk), MOST) else {
                    continue;
                };
                for mut step in Depfile::parse(&bytes).steps(Provenance::CargoMessages) {
                    step.directory = Some(directory.to_owned());
                    step.source = Some(artifact.source.clone());
                    self.steps.push(step);
                }
                self.witness(path, disk);
            }
        }
        for raw in &output.commands {
            // Cargo shows the environment too, before the compiler.
            let arguments = Quoting::Posix.split(raw).arguments;
            let is_setting = |word: &&String| {
                word.split_once('=').is_some_and(|(name, _)| {
                    name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
                })
            };
            let settings = arguments.iter().take_while(is_setting).count();
            let arguments = arguments.get(settings..).unwrap_or_default().to_vec();
            if !options::compiles(&arguments) {
                continue;
            }
            self.steps.push(Step {
                directory: Some(directory.to_owned()),
                source: options::source(&arguments).cloned(),
                outputs: options::output(&arguments).into_iter().collect(),
                command: Some(Command::Arguments(arguments)),
                inputs: None,
                provenance: Provenance::CargoMessages,
            });
        }
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<String>,
}

#[derive(Deserialize)]
struct Target {
    src_path: String,
}

impl Message {
    fn artifact(self) -> Option<Artifact> {
        Some(Artifact { source: self.target?.src_path, outputs: self.filenames })
    }
}

/// Where rustc wrote of which files it made a thing, or where cargo did.
fn depfile_of(made: &str) -> Option<String> {
    let at = made.rfind(['/', '\\']).map_or(0, |at| at.saturating_add(1));
    let (directory, name) = made.split_at_checked(at)?;
    let stem = match name.rsplit_once('.') {
        Some((stem, "rlib" | "rmeta" | "a" | "so" | "dylib")) => {
            stem.strip_prefix("lib").unwrap_or(stem)
        }
        Some((stem, "exe" | "dll" | "lib" | "wasm")) => stem,
        Some((_, "pdb" | "d" | "dSYM" | "dwp")) => return None,
        _ => name,
    };
    Some(format!("{directory}{stem}.d"))
}

const MOST: usize = 16 << 20;
