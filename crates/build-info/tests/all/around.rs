//! What lies around: read as the tools wrote it, and taken as they meant it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use build_info::around::{CargoOutput, Depfile, Manifest, NinjaLog, Surroundings, ask_compilers};
use build_info::{
    BuildInfo, Command, Error, Fact, File, FileId, FileUse, Format, Found, Provenance, Quoting,
    Resolve, System, Unit, UnitId,
};
use proptest::prelude::*;

use crate::tools::tool;

/// Two sources with two headers each, one of which no line table names, in directories with names
/// that need quotes.
struct Place {
    _directory: tempfile::TempDir,
    root: PathBuf,
    cc: String,
    sources: &'static str,
}

impl Place {
    fn new() -> Option<Self> {
        Self::with("s $1")
    }

    fn with(sources: &'static str) -> Option<Self> {
        let cc = tool("gcc")?.to_str()?.to_owned();
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        let place = Self { _directory: directory, root, cc, sources };
        place.put(
            &format!("{sources}/a.c"),
            "#include \"m a.h\"\n#include \"d.h\"\nint a(void) { return M; }\n",
        );
        place.put(
            &format!("{sources}/b.c"),
            "#include \"d.h\"\nint main(void) { return d(); }\nint d(void) { return 0; }\n",
        );
        place.put("inc #2/m a.h", "#define M 1\n");
        place.put("inc #2/d.h", "int d(void);\n");
        Some(place)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self, path: &str) -> String {
        self.root.join(path).to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str], directory: &str) -> String {
        let directory = self.root.join(directory);
        let mut process = Process::new(program);
        let output = process.args(arguments).current_dir(directory).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a line table would say of the two sources.
    fn info(&self, cwd: &str) -> BuildInfo {
        let mut info = BuildInfo::new(Format::Elf);
        for (number, name) in ["a.c", "b.c"].iter().enumerate() {
            let path = self.path(&format!("{}/{name}", self.sources));
            let id = UnitId(number as u32);
            info.files.push(File {
                path: path.clone(),
                spellings: Vec::new(),
                found: Found::Unknown,
                units: vec![id],
            });
            let file = FileId(number as u32);
            info.units.push(Unit {
                source: Some(Fact::recorded(path)),
                cwd: Some(Fact::recorded(self.path(cwd))),
                files: vec![FileUse { file, checksum: None, provenance: Provenance::Recorded }],
                ..Unit::default()
            });
        }
        info
    }

    /// The files of a unit below the root.
    fn files(&self, info: &BuildInfo, unit: usize) -> BTreeSet<String> {
        let paths = info.units[unit].files.iter().map(|one| &info.files[one.file.0 as usize].path);
        let below = paths.filter_map(|path| Path::new(path).strip_prefix(&self.root).ok());
        below.map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    /// Fills from what is in a directory, and finds that all is known.
    fn fill(&self, directory: &str, provenance: Provenance) -> BuildInfo {
        let mut info = self.info(directory);
        let mut around = Surroundings::find(&self.path(directory), &System);
        assert_eq!(around.remarks, [""; 0]);
        around.image = Some(self.path(directory) + "/program");
        info.fill(&around, &Resolve::new());
        info.resolve(&Resolve::new());
        assert_eq!(info.remarks, [""; 0]);
        self.all_known(&info);
        let header = |one: &&FileUse| one.provenance != Provenance::Recorded;
        let other = info.units.iter().flat_map(|unit| unit.files.iter().filter(header));
        assert!(other.clone().count() > 2);
        assert!(other.clone().all(|one| one.provenance == provenance), "{other:?}");
        info
    }

    fn all_known(&self, info: &BuildInfo) {
        let expected =
            ["inc #2/d.h".into(), "inc #2/m a.h".into(), format!("{}/a.c", self.sources)];
        assert_eq!(self.files(info, 0), BTreeSet::from(expected));
        let expected = ["inc #2/d.h".into(), format!("{}/b.c", self.sources)];
        assert_eq!(self.files(info, 1), BTreeSet::from(expected));
        assert!(info.units.iter().all(Unit::has_all_files));
        let affected = info.affected(&[self.path("inc #2/m a.h")]);
        assert_eq!(affected.units, [UnitId(0)]);
        assert_eq!(info.affected(&["d.h"]).units, [UnitId(0), UnitId(1)]);
    }
}

const NINJA: &str = r#"
# A comment, with a $ and an odd number of things.
builddir = sub
flags = -g '-DX=1 2' $
    -O1
rule cc
  command = $cc $flags $more -I"$inc" -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = CC $out
subninja more.ninja
rule link
  command = $cc @$out.rsp -o $out
  rspfile = $out.rsp
  rspfile_content = $in_newline
build program: link obj/a.o obj/with$ space.o | obj/stamp || always
build obj/stamp | obj/stamp2: phony
build always: phony
default program
"#;

const MORE: &str = r"
flags = $flags -DSUB
build obj/a.o | obj/besides: cc ../s$ $$1/a.c
  more = -DMORE=$out
include sources.ninja
";

#[test]
fn ninjas_manifest_gives_ninjas_own_commands_and_its_log_all_files() {
    let (Some(place), Some(ninja)) = (Place::new(), tool("ninja")) else { return };
    let cc = place.cc.clone();
    place.put("b/build.ninja", &format!("cc = {cc}\ninc = ../inc #2\n{NINJA}"));
    place.put("b/more.ninja", MORE);
    place.put("b/sources.ninja", "build obj/with$ space.o: cc ../s$ $$1/b.c\n");
    let ninja = ninja.to_str().unwrap();
    // The file that the manifest says is made besides is not; nothing asks for it.
    place.run(ninja, &["program"], "b");

    let manifest = Manifest::read(&place.path("b"), "build.ninja", &System);
    assert_eq!(manifest.remarks, [""; 0]);
    let database = place.run(ninja, &["-t", "compdb", "-x"], "b");
    let database: serde_json::Value = serde_json::from_str(&database).unwrap();
    let mut expected: Vec<(String, String)> = Vec::new();
    for entry in database.as_array().unwrap() {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        expected.push((text("output"), text("command")));
    }
    let mut read: Vec<(String, String)> =
        manifest.edges.iter().map(|edge| (edge.outputs[0].clone(), edge.command.clone())).collect();
    expected.sort();
    read.sort();
    assert_eq!(read, expected);

    let info = place.fill("b", Provenance::Ninja);
    let command = info.units[1].command.as_ref().unwrap();
    assert_eq!(command.provenance, Provenance::Ninja);
    let expected = [
        &cc,
        "-g",
        "-DX=1 2",
        "-O1",
        "-DSUB",
        "-I../inc #2",
        "-MD",
        "-MF",
        "obj/with space.o.d",
        "-c",
        "../s $1/b.c",
        "-o",
        "obj/with space.o",
    ];
    assert_eq!(command.value.arguments(), expected);
    assert_eq!(info.units[1].object.as_ref().unwrap().value, "obj/with space.o");
    let linker = info.linker.unwrap();
    let expected = [&cc, "obj/a.o", "obj/with space.o", "-o", "program"];
    assert_eq!(linker.command.unwrap().value.arguments(), expected);
}

#[test]
fn a_variable_that_is_set_again_behind_a_statement_counts_as_ninja_counts_it() {
    let (Some(place), Some(ninja)) = (Place::new(), tool("ninja")) else { return };
    place.put(
        "b/build.ninja",
        "flags = -DA\nlocal = -DC\nrule cc\n  command = cc $flags $own -c $in -o $out\n\
         build $flags.o: cc a.c\n  own = $local\nsubninja inner.ninja\nflags = -DB\nlocal = -DD\n\
         build b.o: cc b.c\n",
    );
    place.put("b/inner.ninja", "build c.o: cc c.c\nown = -DE\n");
    let manifest = Manifest::read(&place.path("b"), "build.ninja", &System);
    assert_eq!(manifest.remarks, [""; 0]);
    let read: Vec<&str> = manifest.edges.iter().map(|edge| &*edge.command).collect();
    let expected =
        ["cc -DB -DC -c a.c -o -DA.o", "cc -DB -DE -c c.c -o c.o", "cc -DB  -c b.c -o b.o"];
    assert_eq!(read, expected);
    let database = place.run(ninja.to_str().unwrap(), &["-t", "compdb", "-x"], "b");
    let database: serde_json::Value = serde_json::from_str(&database).unwrap();
    let entries = database.as_array().unwrap().iter();
    let mut theirs: Vec<&str> = entries.map(|entry| entry["command"].as_str().unwrap()).collect();
    theirs.sort_unstable();
    let mut ours = read;
    ours.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn a_command_that_goes_elsewhere_starts_from_there() {
    let (Some(place), Some(ninja)) = (Place::new(), tool("ninja")) else { return };
    let cc = &place.cc;
    place.put(
        "b/build.ninja",
        &format!(
            "rule cc\n  command = cd ../s$ $$1 && {cc} -g -MD -MF ../b/$out.d -I'../inc #2' -c $name \
             -o ../b/$out\n  depfile = $out.d\n  deps = gcc\n\
             rule link\n  command = cd .. && cd b && {cc} a.o b.o -o program\n\
             build a.o: cc ../s$ $$1/a.c\n  name = a.c\nbuild b.o: cc ../s$ $$1/b.c\n  name = b.c\n\
             build program: link a.o b.o\n"
        )
        .replace("s$ $$1 &&", "'s $$1' &&"),
    );
    place.run(ninja.to_str().unwrap(), &["program"], "b");
    let mut info = place.info(place.sources);
    for (unit, name) in info.units.iter_mut().zip(["a.c", "b.c"]) {
        unit.source = Some(Fact::recorded(name.to_owned()));
    }
    let mut around = Surroundings::find(&place.path("b"), &System);
    assert_eq!(around.remarks, [""; 0]);
    around.image = Some(place.path("b/program"));
    info.fill(&around, &Resolve::new());
    info.resolve(&Resolve::new());
    assert_eq!(info.remarks, [""; 0]);
    place.all_known(&info);
    for unit in &info.units {
        assert_eq!(unit.cwd.as_ref().unwrap().value, place.path(place.sources));
        let command = unit.command.as_ref().unwrap();
        assert_eq!(command.provenance, Provenance::Ninja);
        assert_eq!(&command.value.arguments()[0], cc);
    }
    assert_eq!(info.linker.unwrap().cwd.unwrap().value, place.path("b"));
}

/// GCC does not say what is in a precompiled header, nor an assembler what it takes in as it is.
#[test]
fn what_ninja_is_told_that_no_compiler_names_is_known_too() {
    let (Some(place), Some(ninja)) = (Place::with("s"), tool("ninja")) else { return };
    let cc = &place.cc;
    place.put("inc/inner.h", "#define N 0\n");
    place.put("inc/all.h", "#include \"inner.h\"\n");
    place.put("s/b.c", "int main(void) { return N; }\n");
    place.put("b/blob.bin", "blob");
    place.put(
        "b/build.ninja",
        &format!(
            "rule cc\n  command = {cc} -g -MD -MF $out.d $with -I'../inc #2' -c $in -o $out\n  \
             depfile = $out.d\n  deps = gcc\n\
             rule header\n  command = {cc} -g -MD -MF $out.d -x c-header -c $in -o $out\n  \
             depfile = $out.d\n  deps = gcc\n\
             rule link\n  command = {cc} $in -o $out\n\
             build all.h.gch: header ../inc/all.h\n\
             build a.o: cc ../s/a.c | blob.bin || later\n\
             build b.o: cc ../s/b.c | all.h.gch\n  with = -include all.h\n\
             build later: phony\nbuild program: link a.o b.o\n"
        ),
    );
    place.run(ninja.to_str().unwrap(), &["program"], "b");
    let mut info = place.info("b");
    let mut around = Surroundings::find(&place.path("b"), &System);
    around.image = Some(place.path("b/program"));
    info.fill(&around, &Resolve::new());
    info.resolve(&Resolve::new());
    assert_eq!(info.remarks, [""; 0]);
    let [a, b] = [0, 1].map(|unit| place.files(&info, unit));
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(a, of(&["s/a.c", "inc #2/m a.h", "inc #2/d.h", "b/blob.bin"]));
    assert_eq!(b, of(&["s/b.c", "b/all.h.gch", "inc/all.h", "inc/inner.h"]));
}

#[test]
fn short_statements_may_share_long_options() {
    let place = tempfile::tempdir().unwrap();
    let mut text = format!("flags = {}\n", "-I/some/where/include ".repeat(400));
    text += "rule c\n  command = cc $flags -c $in -o $out\n";
    text.extend((0..2_000).map(|number| format!("build {number}.o: c {number}.c\n")));
    fs::write(place.path().join("build.ninja"), text).unwrap();
    let manifest = Manifest::read(place.path().to_str().unwrap(), "build.ninja", &System);
    assert_eq!(manifest.remarks, [""; 0]);
    assert_eq!(manifest.edges.len(), 2_000);
    assert!(manifest.edges.iter().all(|edge| edge.command.len() > 8_000));
}

#[test]
fn the_log_says_what_ninja_says_it_does() {
    let (Some(place), Some(ninja)) = (Place::new(), tool("ninja")) else { return };
    let manifest = format!("cc = {}\ninc = ../inc #2\nmore =\n{NINJA}", place.cc);
    place.put("b/build.ninja", &manifest);
    place.put("b/more.ninja", MORE);
    place.put("b/sources.ninja", "build obj/with$ space.o: cc ../s$ $$1/b.c\n");
    let ninja = ninja.to_str().unwrap();
    place.run(ninja, &["program"], "b");
    place.put("inc #2/d.h", "int d(void);\n\n");
    place.run(ninja, &["program"], "b");
    let log = NinjaLog::parse(&fs::read(place.path("b/sub/.ninja_deps")).unwrap()).unwrap();
    assert!(!log.is_cut);
    let mut ours = String::new();
    for one in log.dependencies() {
        let (count, time) = (one.inputs.len(), one.modified);
        ours += &format!("{}: #deps {count}, deps mtime {time} (VALID)\n", one.output);
        ours.extend(one.inputs.iter().map(|input| format!("    {input}\n")));
        ours.push('\n');
    }
    // What is not there any more is stale to Ninja; the log says nothing of it.
    let theirs = place.run(ninja, &["-t", "deps"], "b").replace("(STALE)", "(VALID)");
    let blocks = |text: &str| -> BTreeSet<String> {
        text.split_terminator("\n\n").map(str::to_owned).collect()
    };
    assert_eq!(blocks(&ours), blocks(&theirs));
}

#[test]
fn makes_depfiles_give_all_files() {
    let (Some(place), Some(make)) = (Place::new(), tool("make")) else { return };
    let flags = "-g '-I../inc \\#2' -MD -MP";
    let makefile = format!(
        "program: x/a.o x/b.o\n\t{cc} $^ -o $@\n\
         x/%.o:\n\tmkdir -p x\n\t{cc} {flags} -c '../s $$1/$*.c' -o $@\n",
        cc = place.cc
    );
    place.put("b/Makefile", &makefile.replace("\\#", "#"));
    place.run(make.to_str().unwrap(), &["program"], "b");
    let info = place.fill("b", Provenance::Depfile);
    assert!(info.units[0].command.is_none());
}

#[test]
fn what_make_prints_gives_commands_and_the_linkers_line() {
    let (Some(place), Some(make)) = (Place::new(), tool("make")) else { return };
    let flags = "-g '-I../../inc #2' '-DT=\"a b\"'";
    let inner = format!(
        "all: a.o b.o\na.o b.o: %.o:\n\tX=1 {cc} {flags} -MMD \\\n\t -c '../../s $$1/$*.c' -o $@\n",
        cc = place.cc
    );
    place.put("b/sub/Makefile", &inner);
    let outer =
        format!("all:\n\t$(MAKE) -C sub\n\t{cc} sub/a.o sub/b.o -o program\n", cc = place.cc);
    place.put("b/Makefile", &outer);
    for arguments in [&["-Bn", "-w"][..], &["-w"]] {
        let printed = place.run(make.to_str().unwrap(), arguments, "b");
        let mut info = place.info("b/sub");
        let mut around =
            Surroundings { image: Some(place.path("b/program")), ..Surroundings::default() };
        around.add_build_log(&place.path("b"), &printed, &System);
        info.fill(&around, &Resolve::new());
        assert_eq!(info.remarks, [""; 0]);
        for (unit, name) in info.units.iter().zip(["a", "b"]) {
            let command = unit.command.as_ref().unwrap();
            assert_eq!(command.provenance, Provenance::BuildLog);
            let (source, object) = (format!("../../s $1/{name}.c"), format!("{name}.o"));
            let expected = [
                &place.cc,
                "-g",
                "-I../../inc #2",
                "-DT=\"a b\"",
                "-MMD",
                "-c",
                &source,
                "-o",
                &object,
            ];
            assert_eq!(command.value.arguments(), expected, "{printed}");
        }
        let linker = info.linker.unwrap();
        assert_eq!(linker.cwd.unwrap().value, place.path("b"));
        let expected = [&place.cc, "sub/a.o", "sub/b.o", "-o", "program"];
        assert_eq!(linker.command.unwrap().value.arguments(), expected);
    }
}

#[test]
fn cmake_gives_commands_files_and_the_linkers_line() {
    let (Some(place), Some(cmake), Some(_)) = (Place::with("s 1"), tool("cmake"), tool("make"))
    else {
        return;
    };
    place.put(
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.10)\nproject(p C)\nset(CMAKE_EXPORT_COMPILE_COMMANDS ON)\n\
         add_library(part STATIC \"s 1/a.c\")\nadd_executable(program \"s 1/b.c\")\n\
         include_directories(\"inc #2\")\nadd_definitions(-DT=\"x\")\n\
         target_link_libraries(program part)\n",
    );
    let cmake = cmake.to_str().unwrap();
    for generator in ["Unix Makefiles", "Ninja"] {
        if generator == "Ninja" && tool("ninja").is_none() {
            return;
        }
        place.run(cmake, &["-S", ".", "-B", generator, "-G", generator], ".");
        place.run(cmake, &["--build", generator], ".");
        let provenance = if generator == "Ninja" { Provenance::Ninja } else { Provenance::Depfile };
        let info = place.fill(generator, provenance);
        let json = fs::read(place.path(generator) + "/compile_commands.json").unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        for (unit, entry) in info.units.iter().zip(json.as_array().unwrap()) {
            let expected = Quoting::Posix.split(entry["command"].as_str().unwrap()).arguments;
            assert_eq!(unit.command.as_ref().unwrap().value.arguments(), expected);
            assert_eq!(unit.cwd.as_ref().unwrap().value, place.path(generator));
        }
        let linker = info.linker.unwrap().command.unwrap();
        let arguments = linker.value.arguments();
        assert!(arguments.contains(&"program".to_owned()), "{arguments:?}");
        assert!(arguments.contains(&"libpart.a".to_owned()), "{arguments:?}");
    }
}

#[test]
fn compilers_name_the_files_when_they_are_asked_again() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.path("b")).unwrap();
    let mut info = place.info("b");
    let mut around = Surroundings::default();
    let entry = |name: &str| {
        serde_json::json!({
            "directory": place.path("b"), "file": place.path(&format!("s $1/{name}")),
            "arguments": [&place.cc, "-I../inc #2", "-MMD", "-MF", "no.d", "-c",
                format!("../s $1/{name}"), "-o", "no.o"],
        })
    };
    let json = serde_json::json!([entry("a.c"), entry("b.c")]).to_string();
    around.add_compile_commands(json.as_bytes()).unwrap();
    info.fill(&around, &Resolve::new());
    assert!(!info.units[0].has_all_files());
    ask_compilers(&mut info, &Resolve::new(), PATIENCE);
    info.resolve(&Resolve::new());
    place.all_known(&info);
    assert_eq!(info.remarks, [""; 0]);
    assert!(fs::read_dir(place.path("b")).unwrap().next().is_none());
    // Whose compiler is not there is said.
    let mut info = place.info("b");
    let json = json.replace(&place.cc, "/nowhere/cc");
    let mut around = Surroundings::default();
    around.add_compile_commands(json.as_bytes()).unwrap();
    info.fill(&around, &Resolve::new());
    ask_compilers(&mut info, &Resolve::new(), PATIENCE);
    assert_eq!(info.remarks.len(), 2);
    assert!(info.remarks[0].contains("/nowhere/cc -M"), "{:?}", info.remarks);
}

#[test]
fn a_compiler_that_is_asked_overwrites_nothing() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.path("b")).unwrap();
    for written in ["-oa.o", "--output=a.o", "-o a.o", "-Wp,-MMD,a.o", "-MD -MF a.o"] {
        place.put("b/a.o", "an object");
        let json = serde_json::json!([{
            "directory": place.path("b"), "file": place.path("s $1/a.c"),
            "command": format!("{} '-I../inc #2' -c '../s $1/a.c' {written}", place.cc),
        }]);
        let mut around = Surroundings::default();
        around.add_compile_commands(json.to_string().as_bytes()).unwrap();
        let mut info = place.info("b");
        info.units.truncate(1);
        info.fill(&around, &Resolve::new());
        ask_compilers(&mut info, &Resolve::new(), PATIENCE);
        assert!(info.units[0].has_all_files(), "{written}: {:?}", info.remarks);
        assert_eq!(fs::read_to_string(place.path("b/a.o")).unwrap(), "an object", "{written}");
        assert_eq!(fs::read_dir(place.path("b")).unwrap().count(), 1, "{written}");
    }
}

#[cfg(unix)]
#[test]
fn compilers_that_hang_say_too_much_or_nothing_are_stopped_and_named() {
    let Some(place) = Place::new() else { return };
    for (script, expected) in [
        // What it has started holds the output as well.
        ("sleep 1000 & sleep 1000", "no answer after"),
        // It has said all, and goes on.
        ("exec >&-; sleep 1000", "no answer after"),
        ("yes", "it says more than"),
        ("exit 0", "it names no file"),
        ("exit 3", "exit status: 3"),
    ] {
        place.put("b/cc", &format!("#!/bin/sh\n{script}\n"));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(place.path("b/cc"), mode).unwrap();
        let mut info = place.info("b");
        let entry = |unit: &Unit| {
            serde_json::json!({
                "directory": place.path("b"), "file": unit.source.as_ref().unwrap().value,
                "arguments": [place.path("b/cc"), "-c", unit.source.as_ref().unwrap().value],
            })
        };
        let json = serde_json::Value::from_iter(info.units.iter().map(entry)).to_string();
        let mut around = Surroundings::default();
        around.add_compile_commands(json.as_bytes()).unwrap();
        info.fill(&around, &Resolve::new());
        let hangs = expected == "no answer after";
        let patience = if hangs { std::time::Duration::from_millis(300) } else { PATIENCE };
        ask_compilers(&mut info, &Resolve::new(), patience);
        assert!(info.remarks[0].contains(expected), "{script}: {:?}", info.remarks);
        // One that hangs is not asked again.
        let times = if hangs { 1 } else { 2 };
        assert_eq!(info.remarks.len(), times, "{script}: {:?}", info.remarks);
    }
    // GCC's own account is no whole command.
    let mut info = place.info("b");
    ask_compilers(&mut info, &Resolve::new(), PATIENCE);
    assert!(info.remarks[0].contains("2 have no whole command"), "{:?}", info.remarks);
}

/// More than any compiler takes here.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

#[test]
fn cargo_gives_the_files_of_a_crate_and_its_command() {
    let Some(cargo) = tool("cargo") else { return };
    let Some(place) = Place::new() else { return };
    place.put("p/Cargo.toml", "[package]\nname = \"p\"\nedition = \"2021\"\n[workspace]\n");
    place.put("p/src/main.rs", "mod inner;\nfn main() { print!(\"{}\", inner::TEXT) }\n");
    place.put("p/src/inner.rs", "pub const TEXT: &str = include_str!(\"a text\");\n");
    place.put("p/src/a text", "text");
    let mut process = Process::new(cargo);
    process.args(["build", "-v", "--offline", "--message-format=json"]);
    process.current_dir(place.path("p")).env("CARGO_TARGET_DIR", place.path("p/target"));
    let output = process.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = [output.stdout, output.stderr].concat();
    let cwd = place.path("p");
    let info = || {
        let mut info = BuildInfo::new(Format::Elf);
        info.units.push(Unit {
            source: Some(Fact::recorded("src/main.rs/@/p.f00-cgu.0".to_owned())),
            cwd: Some(Fact::recorded(cwd.clone())),
            ..Unit::default()
        });
        info
    };
    let expected = ["p/src/a text", "p/src/inner.rs", "p/src/main.rs"].map(str::to_owned);
    let mut told = info();
    let mut around = Surroundings::default();
    around.add_cargo(&cwd, &CargoOutput::parse(&said), &System);
    told.fill(&around, &Resolve::new());
    told.resolve(&Resolve::new());
    assert_eq!(place.files(&told, 0), BTreeSet::from(expected.clone()));
    let command = told.units[0].command.as_ref().unwrap();
    assert_eq!(command.provenance, Provenance::CargoMessages);
    let arguments = command.value.arguments();
    assert!(arguments[0].ends_with("rustc") && arguments.contains(&"src/main.rs".to_owned()));
    // What it wrote down is enough for the files.
    let mut found = info();
    found.fill(&Surroundings::find(&place.path("p/target"), &System), &Resolve::new());
    found.resolve(&Resolve::new());
    assert_eq!(place.files(&found, 0), BTreeSet::from(expected));
    assert!(found.units[0].files.iter().all(|one| one.provenance == Provenance::Depfile));
}

fn unit(cwd: &str, source: &str) -> BuildInfo {
    let mut info = BuildInfo::new(Format::Elf);
    info.units.push(Unit {
        source: Some(Fact::recorded(source.to_owned())),
        cwd: Some(Fact::recorded(cwd.to_owned())),
        ..Unit::default()
    });
    info
}

fn commands(json: &str) -> Surroundings {
    let mut around = Surroundings::default();
    around.add_compile_commands(json.as_bytes()).unwrap();
    around
}

const TWICE: &str = r#"[
    {"directory":"/b","file":"../s/a.c","command":"cc -DONE -c ../s/a.c -o one.o"},
    {"directory":"/b","file":"/s/a.c","arguments":["cc","-DTWO","-c","/s/a.c"],"output":"two.o"}
]"#;

#[test]
fn what_is_compiled_twice_is_told_apart_by_its_object_or_not_at_all() {
    let mut info = unit("/b", "../s/a.c");
    info.fill(&commands(TWICE), &Resolve::lexical());
    assert_eq!(info.units[0].command, None);
    assert_eq!(info.remarks, ["../s/a.c is compiled in 2 ways: which is not known"]);

    let mut info = unit("/b", "../s/a.c");
    info.units[0].object = Some(Fact::recorded("/b/./two.o".to_owned()));
    info.fill(&commands(TWICE), &Resolve::lexical());
    assert_eq!(info.units[0].command.as_ref().unwrap().value.arguments()[1], "-DTWO");

    let mut info = unit("/b", "../s/a.c");
    let mut around = commands(TWICE);
    around.image = Some("/b/program".to_owned());
    around.add_link_commands(
        "/b",
        "ar qc lib.a one.o\ncc main.o lib.a -o program\ncc two.o -o other",
    );
    info.fill(&around, &Resolve::lexical());
    assert_eq!(info.units[0].command.as_ref().unwrap().value.arguments()[1], "-DONE");
    let linker = info.linker.unwrap();
    assert_eq!(
        linker.command.unwrap().value.arguments(),
        ["cc", "main.o", "lib.a", "-o", "program"]
    );
    assert_eq!(linker.cwd.unwrap().value, "/b");

    // A copy that has the name of the one may be of the other.
    let mut info = unit("/b", "../s/a.c");
    around.image = Some("/installed/program".to_owned());
    info.fill(&around, &Resolve::lexical());
    assert_eq!(info.units[0].command, None);
    assert_eq!(info.remarks, ["../s/a.c is compiled in 2 ways: which is not known"]);
    assert_eq!(info.linker, None);
}

#[test]
fn what_is_recorded_stays_and_who_says_otherwise_is_named() {
    let recorded = |raw: &str, quoting| Command::Line {
        raw: raw.to_owned(),
        quoting,
        with_compiler: quoting != Quoting::Words,
        cut: false,
    };
    let json =
        r#"[{"directory":"/b","file":"/s/a.c","command":"cc -DX -I inc -O2 -c /s/a.c -o a.o"}]"#;
    for (quoting, raw, kept, remarks) in [
        (Quoting::Llvm, "/usr/bin/cc -c -O2 -D X -Iinc /s/a.c -o a.o", true, 0),
        (Quoting::Llvm, "/usr/bin/cc -c -O1 -D X -Iinc /s/a.c -o a.o", true, 1),
        (Quoting::Words, "-O2", false, 0),
    ] {
        let mut info = unit("/b", "/s/a.c");
        info.units[0].command = Some(Fact::recorded(recorded(raw, quoting)));
        info.fill(&commands(json), &Resolve::lexical());
        let command = info.units[0].command.clone().unwrap();
        assert_eq!(command.provenance == Provenance::Recorded, kept, "{raw}");
        assert_eq!(info.remarks.len(), remarks, "{raw} {:?}", info.remarks);
    }
    // A name alone, as of a binary without debug information.
    let mut info = unit("", "a.c");
    info.units[0].cwd = None;
    info.fill(&commands(json), &Resolve::lexical());
    assert_eq!(info.units[0].cwd.as_ref().unwrap().value, "/b");
}

#[test]
fn files_of_a_line_table_that_are_named_again_are_known_for_sure_and_the_others_stay() {
    let mut info = unit("/b", "/s/a.c");
    for (number, path) in ["/s/a.h", "/usr/include/x.h"].iter().enumerate() {
        info.files.push(File {
            path: (*path).to_owned(),
            spellings: Vec::new(),
            found: Found::Unknown,
            units: vec![UnitId(0)],
        });
        let (file, provenance) = (FileId(number as u32), Provenance::LineTable);
        info.units[0].files.push(FileUse { file, checksum: None, provenance });
    }
    let mut around = Surroundings::default();
    around.add_depfile(None, b"a.o: ../s/a.c ../s/a.h ../s/m.h\n");
    info.fill(&around, &Resolve::lexical());
    let uses: Vec<(&str, Provenance)> = info.units[0]
        .files
        .iter()
        .map(|one| (&*info.files[one.file.0 as usize].path, one.provenance))
        .collect();
    assert_eq!(
        uses,
        [
            ("/s/a.h", Provenance::OwnHeaders),
            ("/usr/include/x.h", Provenance::LineTable),
            ("/b/../s/a.c", Provenance::OwnHeaders),
            ("/b/../s/m.h", Provenance::OwnHeaders),
        ]
    );
    assert!(!info.units[0].has_all_files());
}

#[test]
fn a_list_that_leaves_out_the_systems_headers_is_not_whole() {
    let listed = |options: &str, headers: &str| {
        let mut info = unit("/b", "/s/a.c");
        let mut around = Surroundings::default();
        if !options.is_empty() {
            around = commands(&format!(
                r#"[{{"directory":"/b","file":"/s/a.c","command":"cc {options} -c /s/a.c -o a.o"}}]"#
            ));
        }
        around.add_depfile(Some("/b"), format!("a.o: /s/a.c /s/a.h {headers}\n").as_bytes());
        info.fill(&around, &Resolve::lexical());
        assert_eq!(info.units[0].files.len(), 2 + headers.split_whitespace().count());
        info.units[0].has_all_files()
    };
    const SYSTEMS: &str = "/usr/include/stdc-predef.h";
    // The command says it.
    assert!(listed("-MD", ""));
    assert!(!listed("-MMD", ""));
    assert!(!listed("-MD -MMD -MF a.d", SYSTEMS));
    assert!(!listed("-Wp,-MMD,a.d", ""));
    // Or what is listed.
    assert!(listed("", SYSTEMS));
    assert!(listed("-O2", SYSTEMS));
    assert!(!listed("", ""));
    assert!(!listed("-O2", ""));
}

#[test]
fn a_source_that_includes_nothing_can_be_known_to() {
    for (options, is_whole) in [("-MD", true), ("-MMD", false)] {
        let mut info = unit("/b", "/s/a.c");
        info.files.push(File {
            path: "/s/a.c".to_owned(),
            spellings: Vec::new(),
            found: Found::Unknown,
            units: vec![UnitId(0)],
        });
        let (file, provenance) = (FileId(0), Provenance::Recorded);
        info.units[0].files.push(FileUse { file, checksum: None, provenance });
        assert!(!info.units[0].has_all_files());
        let mut around = commands(&format!(
            r#"[{{"directory":"/b","file":"/s/a.c","command":"cc {options} -c /s/a.c -o a.o"}}]"#
        ));
        around.add_depfile(Some("/b"), b"a.o: /s/a.c\n");
        info.fill(&around, &Resolve::lexical());
        info.resolve(&Resolve::lexical());
        assert_eq!(info.units[0].files.len(), 1);
        assert_eq!(info.units[0].has_all_files(), is_whole, "{options}");
    }
}

#[test]
fn what_was_done_in_another_directory_is_of_another_build() {
    let around = |image: &str, directory: &str| {
        let mut around = commands(&format!(
            r#"[{{"directory":"{directory}","file":"/s/a.c","command":"cc -DX -c /s/a.c -o a.o"}}]"#
        ));
        around.add_depfile(Some(directory), b"a.o: /s/a.c /s/x.h /usr/include/y.h\n");
        around.add_link_commands(directory, "cc a.o -o program");
        around.image = Some(image.to_owned());
        around
    };
    let filled = |around: Surroundings| {
        let mut info = unit("/b", "/s/a.c");
        info.fill(&around, &Resolve::lexical());
        info
    };
    // The image beside it, of the same name.
    let info = filled(around("/b/program", "/other"));
    let own = &info.units[0];
    assert_eq!((&own.command, own.files.len()), (&None, 0));
    assert_eq!(own.cwd.as_ref().unwrap().value, "/b");
    assert_eq!(info.linker, None);
    assert_eq!(
        info.remarks,
        ["what lies around is of another build: it compiles /s/a.c in /other"]
    );
    // Its own, or one that has been moved since.
    for image in ["/b/program", "/installed/program"] {
        let info = filled(around(image, "/b"));
        assert!(info.units[0].command.is_some() && info.units[0].has_all_files(), "{image}");
        assert!(info.linker.unwrap().command.is_some(), "{image}");
        assert_eq!(info.remarks, [""; 0]);
    }
    // What went into the image is its own wherever the compiler says that it was.
    let info = filled(around("/other/program", "/other"));
    assert!(info.units[0].command.is_some() && info.units[0].has_all_files());
}

#[test]
fn many_units_and_many_steps_of_one_source_come_to_an_end() {
    let mut info = unit("/b", "/b/a.c");
    info.units = vec![info.units[0].clone(); 4_000];
    let mut around = Surroundings::default();
    let rules: String = (0..20_000).map(|number| format!("o{number}: a.c\n")).collect();
    around.add_depfile(None, rules.as_bytes());
    let json = (0..20_000).map(|number| {
        serde_json::json!({
            "directory": "/b", "file": "a.c", "arguments": ["cc", format!("-DN={number}"), "-c", "a.c"],
        })
    });
    let json = serde_json::Value::from_iter(json).to_string();
    around.add_compile_commands(json.as_bytes()).unwrap();
    info.fill(&around, &Resolve::lexical());
    assert!(info.units.iter().all(|unit| unit.command.is_none()));
    let said = info.remarks.iter().any(|remark| remark.contains("not all of it was compared"));
    assert!(said, "{:?}", info.remarks);
}

#[test]
fn a_dependency_file_beside_its_object_tells_where_its_paths_start() {
    let place = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(place.path()).unwrap();
    let path = |name: &str| top.join(name).to_str().unwrap().to_owned();
    for (name, text) in [
        ("b/a.d", "a.o: ../s/a.c\n"),
        ("b/obj/x/c.d", "obj/x/c.o: s/c.c\n"),
        ("b/CMakeFiles/p.dir/d.c.o.d", "CMakeFiles/p.dir/d.c.o: /s/d.c\n"),
        ("b/obj/other.d", "obj/e.o: e.c\n"),
        ("b/obj/f.d", "../f.o: f.c\n"),
        ("b/obj/g.d", "elsewhere/g.o: g.c\n"),
    ] {
        fs::create_dir_all(top.join(name).parent().unwrap()).unwrap();
        fs::write(top.join(name), text).unwrap();
    }
    let mut starts: Vec<_> = Surroundings::find(&path("b"), &System)
        .steps
        .into_iter()
        .map(|step| (step.source.unwrap(), step.directory))
        .collect();
    starts.sort();
    let expected = [
        ("../s/a.c", Some(path("b"))),
        ("/s/d.c", Some(path("b"))),
        ("e.c", None),
        ("f.c", None),
        ("g.c", None),
        ("s/c.c", Some(path("b"))),
    ];
    assert_eq!(starts, expected.map(|(source, start)| (source.to_owned(), start)));
}

#[test]
fn depfiles_mean_what_make_takes_them_for() {
    let parse = |text: &str| {
        let rules = Depfile::parse(text.as_bytes()).rules;
        rules.into_iter().map(|rule| (rule.targets, rule.prerequisites)).collect::<Vec<_>>()
    };
    let rule = |targets: &[&str], prerequisites: &[&str]| {
        let owned =
            |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        (owned(targets), owned(prerequisites))
    };
    for (text, rules) in [
        ("a.o: a.c", vec![rule(&["a.o"], &["a.c"])]),
        ("a.o b.o : a.c\\\n b.h", vec![rule(&["a.o", "b.o"], &["a.c", "b.h"])]),
        (
            "C:\\b\\a.obj: C:\\s\\a.c \\\r\n  C:/s/a.h\r\n",
            vec![rule(&["C:\\b\\a.obj"], &["C:\\s\\a.c", "C:/s/a.h"])],
        ),
        ("a.o: x\\ y.h p\\#q $$z\\\\ b", vec![rule(&["a.o"], &["x y.h", "p#q", "$z\\", "b"])]),
        (
            "# env-dep:X=1\n/t/p: src/main.rs src/a\\ b\n\nsrc/main.rs:\n",
            vec![rule(&["/t/p"], &["src/main.rs", "src/a b"])],
        ),
        ("a.o:a.c", vec![]),
        ("a.o: a.c\na.o: b.h\nb.h:\n", vec![rule(&["a.o"], &["a.c", "b.h"])]),
        ("a.o: \\\n", vec![]),
    ] {
        assert_eq!(parse(text), rules, "{text}");
    }
}

/// A log of version 4 as Ninja would write it.
fn log() -> Vec<u8> {
    let mut log = b"# ninjadeps\n\x04\0\0\0".to_vec();
    for (number, path) in ["a.o\0", "a.c\0", "long.h\0\0"].iter().enumerate() {
        log.extend((path.len() as u32 + 4).to_le_bytes());
        log.extend(path.as_bytes());
        log.extend((!(number as u32)).to_le_bytes());
    }
    for inputs in [&[1_u32][..], &[1, 2]] {
        log.extend((1_u32 << 31 | (12 + inputs.len() as u32 * 4)).to_le_bytes());
        log.extend(0_u32.to_le_bytes());
        log.extend(7_u64.to_le_bytes());
        log.extend(inputs.iter().flat_map(|number| number.to_le_bytes()));
    }
    log
}

#[test]
fn every_prefix_of_a_log_is_read_as_far_as_it_goes() {
    let whole = log();
    let read = NinjaLog::parse(&whole).unwrap();
    let dependencies: Vec<_> = read.dependencies().collect();
    assert_eq!(dependencies.len(), 1);
    assert_eq!((dependencies[0].output, dependencies[0].modified), ("a.o", 7));
    assert_eq!(dependencies[0].inputs, ["a.c", "long.h"]);
    for length in 0..whole.len() {
        match NinjaLog::parse(&whole[..length]) {
            Ok(log) => assert!(log.dependencies().count() <= 1, "{length}"),
            Err(Error::WrongFormat { .. }) => assert!(length < 12),
            Err(error) => assert!(length < 16 && error.is_incomplete(), "{length}: {error}"),
        }
    }
    let mut third = whole.clone();
    third[12] = 3;
    // Its times are one word, so that the other half of ours is taken for a file.
    assert!(
        NinjaLog::parse(&third).unwrap().dependencies().next().unwrap().inputs.contains(&"a.o")
    );
    third[12] = 2;
    assert!(NinjaLog::parse(&third).is_err());
}

#[test]
fn a_manifest_that_means_harm_comes_to_an_end() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().to_str().unwrap();
    let read = |text: &str| {
        fs::write(place.path().join("build.ninja"), text).unwrap();
        Manifest::read(root, "build.ninja", &System)
    };
    let mut doubling = "v0 = xxxxxxxxxxxxxxxx\n".to_owned();
    let mut of_rule = "rule r\n  command = $w0\n".to_owned();
    for number in 1..40 {
        let last = number - 1;
        doubling += &format!("v{number} = $v{last}$v{last}\n");
        of_rule += &format!("  w{last} = $w{number}$w{number}\n");
    }
    of_rule += "build o: r i\n";
    for text in [
        &*doubling,
        &of_rule,
        "rule r\n  command = $command\nbuild o: r i\n",
        "rule r\n  command = $a\n  a = $b\n  b = $a\nbuild o: r i\n",
        "include build.ninja\n",
        "subninja build.ninja\n",
        "build o",
        "build o: ",
        "build o: r $",
        "x = ${",
        "x = $",
        "rule r\n  command = $é\nbuild o: r i\n",
        "é",
    ] {
        let manifest = read(text);
        assert!(!manifest.remarks.is_empty(), "{}", &text[..text.len().min(60)]);
        assert!(manifest.edges.is_empty());
    }
    // What is before the trouble counts.
    let manifest = read("rule r\n  command = c $in\nbuild o: r i\nwhat is this\nbuild p: r j\n");
    assert_eq!(manifest.edges.len(), 1);
    assert_eq!(manifest.remarks.len(), 1);
    assert!(manifest.remarks[0].contains("line 4"), "{:?}", manifest.remarks);
}

proptest! {
    #[test]
    fn no_text_of_a_build_system_ends_a_reader(text in "[a-c$ :|\\\\\n\r#={}\"'&]{0,80}", bytes: Vec<u8>) {
        for bytes in [text.as_bytes(), &bytes] {
            Depfile::parse(bytes);
            CargoOutput::parse(bytes);
            let mut around = Surroundings::default();
            drop(around.add_compile_commands(bytes));
            around.add_link_commands("/", &String::from_utf8_lossy(bytes));
            around.add_depfile(None, bytes);
            let mut info = unit("/b", "a.c");
            info.fill(&around, &Resolve::lexical());
            let mut disk = crate::around_support::Pretended::new(build_info::Style::Posix, &[]);
            disk.files.insert("/b/build.ninja".into(), bytes.to_vec());
            Manifest::read("/b", "build.ninja", &disk);
        }
    }

    #[test]
    fn no_change_of_a_log_ends_its_reader(at in 0..log().len(), byte: u8, length in 0..200_usize) {
        let mut bytes = log();
        bytes[at] = byte;
        bytes.truncate(length.max(at));
        if let Ok(log) = NinjaLog::parse(&bytes) {
            let named: usize = log.dependencies().map(|one| one.inputs.len()).sum();
            prop_assert!(named <= bytes.len());
        }
    }
}
