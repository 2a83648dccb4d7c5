//! The commands as other tools want them: a compilation database.

use crate::{BuildInfo, Command, Fact, Kind, Quoting, Resolve, Unit, UnitId};

/// The commands of all units that were compiled, for a `compile_commands.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// The entries, in the order of the units.
    pub entries: Vec<CompileCommand>,
    /// The units that there is no entry for, or whose entry cannot be trusted to build the same
    /// object, in the same order.
    pub wanting: Vec<Wanting>,
}

/// How a unit is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileCommand {
    /// The unit.
    pub unit: UnitId,
    /// The directory that the compiler runs in, where it is now.
    pub directory: String,
    /// The source, where it is now.
    pub file: String,
    /// The arguments, the compiler first.
    pub arguments: Vec<String>,
    /// The object that is written, where it is known.
    pub output: Option<String>,
}

/// What is wanting of a unit's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanting {
    /// The unit.
    pub unit: UnitId,
    /// What it is.
    pub gaps: Vec<Gap>,
}

/// Something that an entry wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Gap {
    /// No source is known: there is no entry.
    Source,
    /// No directory is known: there is no entry.
    Directory,
    /// No command is known: there is no entry.
    Command,
    /// The compiler's path is not known; its usual name stands for it.
    Compiler,
    /// The compiler records some of its options: none of those that say what is included and
    /// defined.
    Options,
    /// The command was cut short.
    Cut,
}

impl Gap {
    /// Whether there is no entry for want of it.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Source | Self::Directory | Self::Command)
    }

    /// What is wanting, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "no source is recorded",
            Self::Directory => "no directory is recorded",
            Self::Command => "no command is recorded",
            Self::Compiler => "the compiler's path is not recorded",
            Self::Options => "options that say what is included and defined are not recorded",
            Self::Cut => "the command was cut short when it was recorded",
        }
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl BuildInfo {
    /// The commands of the units that were [compiled from source](Kind::Source).
    ///
    /// A command that is recorded without its compiler, source and object, as in a PDB, is made
    /// whole again. What cannot be made whole is among the [entries](Database::entries) if a
    /// compiler could make something of it, and [named](Database::wanting) in any case.
    ///
    /// Directories and sources are where they [are now](Resolve::locate); the arguments stay as they
    /// were given.
    pub fn compile_commands(&self, resolve: &Resolve) -> Database {
        let count = u32::try_from(self.units.len()).unwrap_or(u32::MAX);
        self.compile_commands_of((0..count).map(UnitId), resolve)
    }

    /// The commands of some units, in their order; see [`compile_commands`](Self::compile_commands).
    pub fn compile_commands_of(
        &self,
        units: impl IntoIterator<Item = UnitId>,
        resolve: &Resolve,
    ) -> Database {
        let mut database = Database::default();
        for id in units {
            let unit = self.units.get(id.0 as usize);
            let Some(unit) = unit.filter(|unit| unit.kind == Kind::Source) else { continue };
            let mut gaps = Vec::new();
            database.entries.extend(self.entry(id, unit, resolve, &mut gaps));
            if !gaps.is_empty() {
                gaps.sort_unstable();
                database.wanting.push(Wanting { unit: id, gaps });
            }
        }
        database
    }

    fn entry(
        &self,
        id: UnitId,
        unit: &Unit,
        resolve: &Resolve,
        gaps: &mut Vec<Gap>,
    ) -> Option<CompileCommand> {
        let source = recorded(&unit.source);
        let directory = recorded(&unit.cwd);
        gaps.extend(source.is_none().then_some(Gap::Source));
        gaps.extend(directory.is_none().then_some(Gap::Directory));
        let command = unit.command.as_ref().map(|fact| &fact.value);
        gaps.extend(command.is_none().then_some(Gap::Command));
        let (source, directory, command) = (source?, directory?, command?);

        gaps.extend(command.is_cut().then_some(Gap::Cut));
        let object = recorded(&unit.object);
        let arguments = if command.with_compiler() {
            command.arguments()
        } else {
            completed(unit, command, source, object, gaps)
        };
        let output = option(&arguments, "-o").or(object).map(str::to_owned);
        let (file, _) = resolve.locate(directory, source, self.format);
        let (directory, _) = resolve.locate("", directory, self.format);
        Some(CompileCommand { unit: id, directory, file, arguments, output })
    }
}

/// The whole of a command that is recorded without what it is about.
fn completed(
    unit: &Unit,
    command: &Command,
    source: &str,
    object: Option<&str>,
    gaps: &mut Vec<Gap>,
) -> Vec<String> {
    let options = command.arguments();
    let compiler = recorded(&unit.compiler);
    gaps.extend(compiler.is_none().then_some(Gap::Compiler));
    let is_partial = matches!(command, Command::Line { quoting: Quoting::Words, .. });
    gaps.extend(is_partial.then_some(Gap::Options));

    let is_msvc = matches!(command, Command::Line { quoting: Quoting::Windows, .. });
    let usual = match (is_msvc, unit.language.as_deref()) {
        (true, _) => "cl.exe",
        (false, Some("C")) => "cc",
        (false, _) => "c++",
    };
    // Clang's own front end, as it is recorded in PDBs, has been told to compile already.
    let is_front_end = options.first().is_some_and(|first| first == "-cc1");
    let mut arguments = vec![compiler.unwrap_or(usual).to_owned()];
    arguments.extend(options);
    arguments.extend(unit.definitions.iter().cloned());
    if is_msvc {
        // Absent where compiling and linking were one step.
        let compiles = arguments.iter().any(|one| matches!(one.as_str(), "-c" | "/c"));
        arguments.extend((!compiles).then(|| "-c".to_owned()));
        arguments.extend(recorded(&unit.compiler_pdb).map(|path| format!("-Fd{path}")));
        arguments.extend(object.map(|path| format!("-Fo{path}")));
    } else if is_front_end {
        // What Clang leaves out of what it records of itself.
        let main = source.rsplit(['/', '\\']).next().unwrap_or(source);
        arguments.extend(["-main-file-name", main].map(str::to_owned));
        arguments.extend(object.map(|path| format!("-object-file-name={path}")));
        arguments.extend(object.into_iter().flat_map(|path| ["-o", path].map(str::to_owned)));
    } else {
        arguments.push("-c".to_owned());
        arguments.extend(object.into_iter().flat_map(|path| ["-o", path].map(str::to_owned)));
    }
    arguments.push(source.to_owned());
    arguments
}

impl CompileCommand {
    /// The arguments as tools that read a compilation database understand them.
    ///
    /// These expect to be told what a compiler's driver is told. PDBs have what Clang's driver told
    /// its front end (`-cc1`); here each such option is handed through (`-Xclang`). That compiles the
    /// same, but is recorded differently in turn, so that for the same object to the last byte it
    /// takes the [arguments](Self::arguments) themselves.
    pub fn driver_arguments(&self) -> Vec<String> {
        let Some((compiler, options)) = self
            .arguments
            .split_first()
            .filter(|(_, rest)| rest.first().is_some_and(|first| first == "-cc1"))
        else {
            return self.arguments.clone();
        };
        let source = options.last();
        let mut options = options.iter().skip(1).peekable();
        // The directories that the driver would add are among the options already.
        let mut driven = vec![compiler.clone(), "-nostdinc".to_owned()];
        while let Some(option) = options.next() {
            match option.as_str() {
                "-emit-obj" => {}
                "-main-file-name" => drop(options.next()),
                "-triple" => driven.extend(options.next().map(|it| format!("--target={it}"))),
                "-x" | "-o" => {
                    driven.push(option.clone());
                    driven.extend(options.next().cloned());
                }
                _ if option.starts_with("-object-file-name=") || options.peek().is_none() => {}
                _ => driven.extend(["-Xclang".to_owned(), option.clone()]),
            }
        }
        driven.push("-c".to_owned());
        driven.extend(source.cloned());
        driven
    }
}

impl Unit {
    /// What the unit is called: its source, or else what was linked.
    pub fn name(&self) -> &str {
        let module = Some(&*self.module).filter(|module| !module.is_empty());
        let names = [recorded(&self.source), module, recorded(&self.object)];
        names.into_iter().flatten().next().unwrap_or("(without a name)")
    }
}

/// The value of an option that is an argument of its own, or the rest of one.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|one| one == name)?;
    arguments.get(at.checked_add(1)?).map(String::as_str)
}

/// A value, unless it is an empty one, which stands for none.
fn recorded(fact: &Option<Fact<String>>) -> Option<&str> {
    fact.as_ref().map(|fact| fact.value.as_str()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
