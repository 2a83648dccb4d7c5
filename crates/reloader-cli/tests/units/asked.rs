use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use reloader_tests::{HEADERS, Project, Run, SOURCES, System, Toolchain};
use rustix::fs::{CWD, Mode};
use serde_json::Value;

use crate::desk::{Desk, End, program};
use crate::terminal::{all_of, terminal};

const GCC: Toolchain<'_> = Toolchain { cc: "gcc", cxx: "g++", flags: &["-g"], link: &[] };

#[test]
fn make_and_gcc_give_all_headers_by_themselves_and_the_commands_by_what_was_printed() {
    let Some(project) = Project::build(System::Make, &GCC) else { return };
    let desk = Desk::new();
    let image = project.image.to_str().unwrap();
    for header in HEADERS {
        let path = project.path(header.path);
        let all = desk.json(["affected", image, path.to_str().unwrap(), "--json"]);
        let sources = all["units"].as_array().unwrap().iter().map(|it| &it["source"]);
        let mut sources: Vec<String> = sources.map(|it| it.as_str().unwrap().to_owned()).collect();
        sources.sort();
        let expected = header.sources.iter().map(|source| format!("../{source}"));
        assert_eq!(sources, expected.collect::<Vec<_>>(), "{header:?}");
        assert_eq!(all["partial"], 0, "{header:?}");
    }

    let printed = std::process::Command::new("make")
        .args(["-Bn"])
        .current_dir(&project.build)
        .output()
        .unwrap();
    assert!(printed.status.success());
    let log = project.build.join("log");
    fs::write(&log, printed.stdout).unwrap();
    let end = desk.run(["compile-commands", image, "--build-log", log.to_str().unwrap()]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    let entries: Vec<Value> = serde_json::from_str(&end.output).unwrap();
    for source in SOURCES {
        let path = project.path(source);
        let entry = entries.iter().find(|it| it["file"] == path.to_str().unwrap()).unwrap();
        let run = project.run_of(source);
        assert_eq!(entry["directory"], run.directory.to_str().unwrap());
        let words = entry["arguments"].as_array().unwrap().iter();
        let arguments = words.map(|word| word.as_str().unwrap().to_owned()).collect();
        let found = Run { directory: run.directory.clone(), arguments };
        assert_eq!(found.options(), run.options(), "{entry}");
        assert!(!end.error.contains(source), "{}", end.error);
    }
    // From another directory it has to be said where it was run.
    let elsewhere = desk.path("log");
    fs::rename(&log, &elsewhere).unwrap();
    let end = desk.run(["compile-commands", image, "--build-log", "log", "--complete"]);
    assert_eq!(end.output, "[]\n");
    let build = project.build.to_str().unwrap();
    let moved = desk.run(["compile-commands", image, "--build-log", "log", "--build-dir", build]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&moved.output).unwrap(), entries);
    // What is no log is said.
    desk.write("empty", "all is up to date\n");
    let end = desk.run(["units", image, "--build-log", "empty"]);
    assert!(end.failure(1).contains("no command of a compiler in it"), "{}", end.error);
}

#[test]
fn compilers_are_asked_only_if_that_is_wanted_and_each_time_what_they_name_has_changed() {
    let desk = Desk::new();
    desk.write("outer.h", "#define OUTER 1\n");
    desk.write("late.h", "#define LATE 1\n");
    let source = "#include \"outer.h\"\nint main(void) { return OUTER; }\n";
    let flags = ["-g", "-grecord-command-line"];
    let Some(_) = desk.compile_with(&["clang", "clang-19"], "c", source, &flags, "image") else {
        return;
    };
    let affected = |header: &str, options: &[&str]| -> End {
        let words = ["affected", "image", header, "--cache-dir", "kept"];
        let end = desk.run(words.iter().chain(options));
        assert_eq!(end.code, Some(0), "{}", end.error);
        end
    };
    let end = affected("outer.h", &[]);
    assert_eq!(end.output, "");
    assert!(end.error.contains("known in part only"), "{}", end.error);
    for _ in 0..2 {
        assert_eq!(affected("outer.h", &["--run"]).output, "image.c\n");
        assert_eq!(affected("late.h", &["--run"]).output, "");
    }
    // The image need not be another for that.
    desk.write("outer.h", "#include \"late.h\"\n#define OUTER 1\n");
    assert_eq!(affected("late.h", &["--run"]).output, "image.c\n");
}

#[test]
fn whoever_waits_at_a_terminal_is_told_what_for_and_nobody_else() {
    let desk = Desk::new();
    let source = "int main(void) { return 0; }\n";
    let Some(_) = desk.compile(source, &["-g"], "image") else { return };
    // A compiler that says nothing before something is written to a pipe.
    rustix::fs::mkfifoat(CWD, desk.path("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
    let script = "#!/bin/sh\nread line < pipe\necho 'image.o: image.c own.h'\n";
    let compiler = desk.write("cc", script);
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).unwrap();
    let here = desk.path("").canonicalize().unwrap();
    let entry = serde_json::json!([{
        "directory": here, "file": "image.c", "arguments": [compiler, "-c", "image.c"],
    }]);
    desk.write("compile_commands.json", entry.to_string());

    let question = ["affected", "image", "own.h", "--run", "--no-cache"];
    let (ours, theirs) = terminal();
    let mut ours = fs::File::from(ours);
    let mut child = program()
        .current_dir(desk.path(""))
        .args(question)
        .stdout(std::process::Stdio::piped())
        .stderr(theirs)
        .spawn()
        .unwrap();
    let mut shown = String::new();
    while !shown.contains("asking the compilers (") {
        let mut some = [0; 256];
        let count = ours.read(&mut some).unwrap();
        shown.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    let pipe = desk.path("pipe");
    fs::write(&pipe, "go\n").unwrap();
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(output, "image.c\n");
    // The line is taken away again.
    let rest = all_of(ours.into());
    assert!(rest.ends_with("\r\x1b[K"), "{rest:?}");

    // Elsewhere nothing is shown, however long it takes.
    let mut child = program()
        .current_dir(desk.path(""))
        .args(question)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(&pipe, "go\n").unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(error, "");
}
