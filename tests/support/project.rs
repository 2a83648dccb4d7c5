//! A small project whose every header and command is known, and the ways to build it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Tool, missing, tool, write};

/// A header of the project, and the sources that cannot do without it.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its path below the project's root.
    pub path: &'static str,
    /// The sources that are compiled with it, below the root, ascending.
    pub sources: &'static [&'static str],
}

/// The seven headers, each one that a compiler may leave no trace of in its own way.
pub const HEADERS: [Header; 7] = [
    // Macros alone.
    Header { path: "include/macros.h", sources: &["src/main.cpp", "src/plain.cpp"] },
    // Declarations alone.
    Header { path: "include/declared.h", sources: &["src/main.cpp", "src/shapes.cpp"] },
    // Types alone.
    Header { path: "include/types.h", sources: &["src/shapes.cpp"] },
    // Included by another header alone.
    Header { path: "include/nested.h", sources: &["src/shapes.cpp"] },
    // Forced by -include.
    Header { path: "forced.h", sources: &["src/main.cpp", "src/plain.cpp", "src/shapes.cpp"] },
    // Found by -isystem.
    Header { path: "vendor/vendor.h", sources: &["src/plain.cpp", "src/shapes.cpp"] },
    // Inline functions alone.
    Header { path: "include/inlines.h", sources: &["src/main.cpp", "src/plain.cpp"] },
];

/// The sources, in the order of linking.
pub const SOURCES: [&str; 4] = ["src/main.cpp", "src/shapes.cpp", "src/plain.cpp", "src/alone.c"];

/// The functions that are there once, and the source of each.
pub const FUNCTIONS: [(&str, &str); 4] = [
    ("main", "src/main.cpp"),
    ("shapes_area", "src/shapes.cpp"),
    ("plain_total", "src/plain.cpp"),
    ("alone", "src/alone.c"),
];

/// The functions that two sources have, `src/main.cpp` before `src/plain.cpp`: the first has the
/// same code in both, the second has not.
pub const SHARED: [&str; 2] = ["shared_same", "shared_differ"];

/// What builds the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Ninja alone, with its log of dependencies.
    Ninja,
    /// Make, with a depfile beside each object.
    Make,
    /// CMake, which writes for Ninja.
    CmakeNinja,
    /// CMake, which writes makefiles and a `compile_commands.json`.
    CmakeMake,
}

/// The compilers' names and the flags they are given besides those the project needs.
#[derive(Clone, Copy, Debug)]
pub struct Toolchain<'a> {
    /// For C.
    pub cc: &'a str,
    /// For C++.
    pub cxx: &'a str,
    /// For both.
    pub flags: &'a [&'a str],
    /// For the linking by `cxx`.
    pub link: &'a [&'a str],
}

/// The project, built.
#[derive(Debug)]
pub struct Project {
    /// Keeps the files.
    _directory: tempfile::TempDir,
    /// The canonical path of its root.
    pub root: PathBuf,
    /// Where it was built, below the root.
    pub build: PathBuf,
    /// The program that was linked.
    pub image: PathBuf,
}

/// One run of a compiler as it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The directory.
    pub directory: PathBuf,
    /// The arguments, the compiler's own path first.
    pub arguments: Vec<String>,
}

impl Project {
    /// Writes the project and builds it; nothing without the tools, which is said.
    pub fn build(system: System, toolchain: &Toolchain<'_>) -> Option<Self> {
        let cc = tool(toolchain.cc)?;
        let cxx = tool(toolchain.cxx)?;
        let builder = match system {
            System::Ninja => tool("ninja")?,
            System::Make => tool("make")?,
            System::CmakeNinja => tool("cmake").and_then(|_| tool("ninja"))?,
            System::CmakeMake => tool("cmake").and_then(|_| tool("make"))?,
        };
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        for (path, text) in FILES {
            place(&root, path, text);
        }
        let cc = recorded(&root, "cc", &cc);
        let cxx = recorded(&root, "c++", &cxx);
        let build = root.join("out");
        fs::create_dir_all(build.join("obj")).unwrap();
        let flags = toolchain.flags.join(" ");
        let link = toolchain.link.join(" ");
        let fill = |text: &str| {
            text.replace("@CC@", &cc)
                .replace("@CXX@", &cxx)
                .replace("@ROOT@", root.to_str().unwrap())
                .replace("@FLAGS@", &flags)
                .replace("@LINK@", &link)
        };
        let generator = match system {
            System::Ninja => {
                place(&build, "build.ninja", &fill(include_str!("project/build.ninja")));
                None
            }
            System::Make => {
                place(&build, "Makefile", &fill(include_str!("project/Makefile")));
                None
            }
            System::CmakeNinja => Some(("Ninja", "OFF")),
            System::CmakeMake => Some(("Unix Makefiles", "ON")),
        };
        if let Some((generator, database)) = generator {
            place(&root, "CMakeLists.txt", &fill(include_str!("project/CMakeLists.txt")));
            let mut cmake = Command::new("cmake");
            cmake.args(["-S", root.to_str().unwrap(), "-B", build.to_str().unwrap()]);
            cmake.args(["-G", generator]);
            cmake.arg(format!("-DCMAKE_EXPORT_COMPILE_COMMANDS={database}"));
            cmake.arg(format!("-DCMAKE_C_COMPILER={cc}"));
            cmake.arg(format!("-DCMAKE_CXX_COMPILER={cxx}"));
            succeed(&mut cmake);
        }
        // What CMake tries out is not of the project.
        let log = root.join("log");
        fs::remove_dir_all(&log).unwrap();
        fs::create_dir(&log).unwrap();
        succeed(Command::new(builder.0).arg("-j2").current_dir(&build));
        let image = build.join("program");
        Some(Self { _directory: directory, root, build, image })
    }

    /// A file of the project.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// How the compiler was run for a source, by its own account.
    pub fn run_of(&self, source: &str) -> Run {
        let wanted = self.path(source);
        let runs = fs::read_dir(self.root.join("log")).unwrap().map(|entry| {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut words = text.split_terminator('\0').map(str::to_owned);
            let directory = PathBuf::from(words.next().unwrap());
            Run { directory, arguments: words.collect() }
        });
        let mut runs: Vec<Run> = runs
            .filter(|run| {
                let names = |word: &String| {
                    fs::canonicalize(run.directory.join(word)).is_ok_and(|it| it == wanted)
                };
                run.arguments.iter().any(|word| word == "-c") && run.arguments.iter().any(names)
            })
            .collect();
        assert_eq!(runs.len(), 1, "{source}: {runs:?}");
        runs.remove(0)
    }
}

impl Run {
    /// The path of the object that it wrote.
    pub fn object(&self) -> PathBuf {
        let output = self.arguments.iter().position(|word| word == "-o").unwrap();
        self.directory.join(&self.arguments[output + 1])
    }

    /// The arguments without the compiler, as Clang records them: the values of some options are
    /// arguments of their own. The name that the driver goes by, which it adds, is left out.
    pub fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        for argument in &self.arguments[1..] {
            let joined = ["-I", "-D", "-U"].iter().find_map(|option| {
                let value = argument.strip_prefix(option).filter(|value| !value.is_empty())?;
                Some([(*option).to_owned(), value.to_owned()])
            });
            match joined {
                Some(pair) => options.extend(pair),
                None if argument.starts_with("--driver-mode=") => {}
                None => options.push(argument.clone()),
            }
        }
        options
    }

    /// Runs the compiler again, just so.
    pub fn repeat(&self) {
        let [compiler, arguments @ ..] = &*self.arguments else { panic!("{self:?}") };
        succeed(Command::new(compiler).args(arguments).current_dir(&self.directory));
    }
}

/// A crate with modules and an included text, built by cargo.
#[derive(Debug)]
pub struct Crate {
    /// Keeps the files.
    _directory: tempfile::TempDir,
    /// The canonical path of its root.
    pub root: PathBuf,
    /// Where it was built.
    pub build: PathBuf,
    /// The program that was linked.
    pub image: PathBuf,
}

impl Crate {
    /// What it is made from, below the root; the text is no source.
    pub const FILES: [&'static str; 4] =
        ["src/main.rs", "src/shapes.rs", "src/shapes/round.rs", "src/text.txt"];

    /// Writes the crate and builds it; nothing without cargo, which is said.
    pub fn build() -> Option<Self> {
        let Some(cargo) = std::env::var_os("CARGO").map(PathBuf::from).or_else(|| {
            let Tool(path) = tool("cargo")?;
            Some(path)
        }) else {
            missing("cargo is missing");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        for (path, text) in CRATE {
            place(&root, path, text);
        }
        let build = root.join("target/debug");
        // Its own target directory, whatever this process was given, and no flags of ours.
        succeed(
            Command::new(cargo)
                .args(["build", "--offline", "--quiet"])
                .env("CARGO_TARGET_DIR", root.join("target"))
                .env_remove("RUSTFLAGS")
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .current_dir(&root),
        );
        let image = build.join("known");
        Some(Self { _directory: directory, root, build, image })
    }
}

fn place(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write(&path, text.as_bytes());
}

/// A compiler that writes down how it is run; gives its path.
fn recorded(root: &Path, name: &str, compiler: &Tool) -> String {
    let log = root.join("log");
    fs::create_dir_all(&log).unwrap();
    let script = format!(
        "#!/bin/sh\nprintf '%s\\0' \"$PWD\" \"$0\" \"$@\" > '{}'/$$\nexec '{}' \"$@\"\n",
        log.display(),
        compiler.0.display()
    );
    place(root, &format!("bin/{name}"), &script);
    let path = root.join("bin").join(name);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&path, permissions).unwrap();
    path.to_str().unwrap().to_owned()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
}

const FILES: [(&str, &str); 11] = [
    ("include/macros.h", "#pragma once\n#define STEP 3\n#define TWICE(x) ((x) + (x))\n"),
    (
        "include/declared.h",
        "#pragma once\nextern \"C\" int shapes_area(int side);\nextern int declared_nowhere;\n",
    ),
    (
        "include/types.h",
        "#pragma once\n#include \"nested.h\"\nstruct shape { corner low, high; };\n",
    ),
    ("include/nested.h", "#pragma once\nstruct corner { int x, y; };\n"),
    ("forced.h", "#pragma once\n#define FORCED 1\n"),
    ("vendor/vendor.h", "#pragma once\nenum vendor_unit { VENDOR_ONE = 1, VENDOR_TWO };\n"),
    ("include/inlines.h", include_str!("project/inlines.h")),
    ("src/main.cpp", include_str!("project/main.cpp")),
    ("src/shapes.cpp", include_str!("project/shapes.cpp")),
    ("src/plain.cpp", include_str!("project/plain.cpp")),
    ("src/alone.c", "int alone(int number) { return number * VALUE + (int)sizeof TITLE; }\n"),
];

const CRATE: [(&str, &str); 5] = [
    (
        "Cargo.toml",
        "[package]\nname = \"known\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n",
    ),
    (
        "src/main.rs",
        "mod shapes;\n\
         fn main() {\n    println!(\"{} {}\", shapes::area(3), include_str!(\"text.txt\"));\n}\n",
    ),
    (
        "src/shapes.rs",
        "mod round;\n\
         pub fn area(side: u32) -> u32 {\n    side * side + round::around(side)\n}\n",
    ),
    ("src/shapes/round.rs", "pub fn around(side: u32) -> u32 {\n    side * 3\n}\n"),
    ("src/text.txt", "a text\n"),
];
