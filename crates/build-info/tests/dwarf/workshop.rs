//! A directory in which small programs are compiled and linked.

use std::path::{Path, PathBuf};
use std::process::Command;

use build_info::{BuildInfo, Questions};
use tempfile::TempDir;

/// A directory in which small programs are compiled and linked.
pub struct Workshop {
    directory: TempDir,
}

impl Workshop {
    /// One with the sources of a small program: two units of C++ that have templates and inline
    /// functions in common, and one of C.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let workshop = Self { directory };
        workshop.write("main.cc", MAIN);
        workshop.write("src/part.cc", PART);
        workshop.write("plain.c", PLAIN);
        workshop.write("include/shared.h", SHARED);
        workshop.write("include/inner.h", INNER);
        workshop.write("include/macros.h", MACROS);
        workshop
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    /// Runs a tool, whose name is the first of words, in the directory. Nothing where it is missing.
    pub fn run(&self, words: &str) -> Option<String> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (tool, arguments) = words.split_first().expect("a tool");
        let path = crate::tools::tool(tool)?;
        let output = Command::new(path)
            .args(arguments)
            .current_dir(self.path())
            .env("LC_ALL", "C")
            .output()
            .expect("a tool that runs");
        let says = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{words:?}: {}", says(&output.stderr));
        Some(says(&output.stdout))
    }

    /// Compiles the program with a compiler for C++, and its sibling for C, and links it.
    ///
    /// `compile` and `link` are options.
    pub fn build(&self, compiler: &str, compile: &str, link: &str) -> Option<PathBuf> {
        if compile.contains("-m32") && !cfg!(target_arch = "x86_64") {
            println!("skipped: this machine's compilers have no -m32");
            return None;
        }
        let for_c = match compiler.split_once("clang++") {
            Some((before, behind)) => format!("{before}clang{behind}"),
            None => compiler.replace("g++", "gcc"),
        };
        for (source, object) in SOURCES {
            let compiler = if source.ends_with(".c") { &for_c } else { compiler };
            self.run(&format!("{compiler} {compile} -Iinclude -c {source} -o {object}"))?;
        }
        let objects = SOURCES.map(|(_, object)| object).join(" ");
        self.run(&format!("{compiler} {link} {objects} -o image"))?;
        Some(self.at("image"))
    }
}

/// Everything that an image says, the same from memory and from the file.
#[track_caller]
pub fn read(image: &Path) -> BuildInfo {
    let info = build_info::open(image, &Questions::ALL).expect("an image that can be read");
    let bytes = std::fs::read(image).expect("an image");
    let nearby = build_info::Nearby::of(image);
    let again = build_info::read_with(&bytes, &Questions::ALL, &nearby);
    assert_eq!(again.expect("an image that can be read"), info);
    info
}

/// The number of the unit whose source ends with a name.
#[track_caller]
pub fn unit(info: &BuildInfo, name: &str) -> usize {
    let is = |unit: &build_info::Unit| {
        unit.source.as_ref().is_some_and(|source| source.value.ends_with(name))
    };
    info.units.iter().position(is).unwrap_or_else(|| panic!("no unit of {name}"))
}

/// The base names of the files of a unit, in alphabetical order: once each, however they are spelled.
pub fn files(info: &BuildInfo, unit: usize) -> Vec<&str> {
    let mut names: Vec<&str> = info.units[unit]
        .files
        .iter()
        .map(|one| info.files[one.file.0 as usize].path.rsplit('/').next().expect("a name"))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The sources, in the order of linking.
pub const SOURCES: [(&str, &str); 3] =
    [("main.cc", "main.o"), ("src/part.cc", "part.o"), ("plain.c", "plain.o")];

const MAIN: &str = r#"
#include "shared.h"
int part(int);
extern "C" int plain(int);
#ifdef IN_MAIN
#define DIFFERENCE 5 * x * x + x / 3
#endif
#include "macros.h"
int main(int count, char **) {
    Shape shape;
    return same(count) + differ(count) + part(count) + plain(count) + shape.area();
}
"#;

const PART: &str = r#"
#include "shared.h"
#include "macros.h"
int part(int x) {
    Shape shape;
    return same(x) + differ(x) + 2 + shape.area();
}
"#;

const PLAIN: &str = "
static int twice(int x) { return x * 2; }
int plain(int x) { return twice(x) + 1; }
";

const SHARED: &str = r#"
#pragma once
#include "inner.h"
template <class T> __attribute__((noinline)) T same(T x) { return x * 3 + 1; }
struct Shape { int side = 2; int area() { return square(side); } };
"#;

const INNER: &str = "
#pragma once
inline int square(int x) { return x * x; }
";

/// A function whose code is another in each unit.
const MACROS: &str = "
#ifndef DIFFERENCE
#define DIFFERENCE x
#endif
__attribute__((noinline)) inline int differ(int x) { return DIFFERENCE; }
";
