use std::fs;
use std::path::Path;
use std::process::Command;

use build_info::{CompileCommand, Resolve};
use reloader_tests::{Run, Tool, tool};

use crate::editor::no_complaint;
use crate::reading::alone;

const SOURCES: [(&str, &str); 2] = [
    ("main.c", "#include \"value.h\"\nint other(int);\nint start(void) { return other(VALUE); }\n"),
    ("src/an other.c", "int other(int x) { return x * 2; }\n"),
];

/// What a PDB by Clang and LLD says of how its objects are compiled.
fn commands(directory: &Path) -> Option<Vec<CompileCommand>> {
    let Tool(clang) = tool("clang-19")?;
    let Tool(linker) = tool("lld-link-19")?;
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    fs::create_dir(directory.join("src")).unwrap();
    fs::write(directory.join("value.h"), "#define VALUE 3\n").unwrap();
    for (source, text) in SOURCES {
        fs::write(directory.join(source), text).unwrap();
        let object = format!("-Fo{source}.obj");
        let mode = ["--driver-mode=cl", "--target=x86_64-pc-windows-msvc", "-Z7", "-GS-", "-O1"];
        run(&clang, &[&mode[..], &["-Brepro", "-DWORD=\"a b\"", "-c", source, &object]].concat());
    }
    let [first, second] = SOURCES.map(|(source, _)| format!("{source}.obj"));
    let options = ["-debug", "-nodefaultlib", "-entry:start", "-subsystem:console", "-out:x.exe"];
    run(&linker, &[&options[..], &[&first, &second]].concat());
    let database = alone(&directory.join("x.pdb")).compile_commands(&Resolve::new());
    assert_eq!(database.wanting, []);
    assert_eq!(database.entries.len(), SOURCES.len());
    Some(database.entries)
}

#[test]
fn the_commands_of_a_pdb_by_clang_build_the_same_objects() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().canonicalize().unwrap();
    let Some(commands) = commands(&directory) else { return };
    for (command, (source, _)) in commands.into_iter().zip(SOURCES) {
        assert_eq!(Path::new(&command.file), directory.join(source));
        let object = directory.join(format!("{source}.obj"));
        let before = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let CompileCommand { directory, arguments, .. } = command;
        Run { directory: directory.into(), arguments }.repeat();
        assert!(fs::read(&object).unwrap() == before, "{source}");
    }
}

#[test]
fn as_a_driver_is_told_they_compile_the_same_code() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().canonicalize().unwrap();
    let (Some(commands), Some(Tool(objdump))) = (commands(&directory), tool("llvm-objdump-19"))
    else {
        return;
    };
    for (command, (source, _)) in commands.into_iter().zip(SOURCES) {
        let object = directory.join(format!("{source}.obj"));
        let code = || {
            let output = Command::new(&objdump).args(["-d", "-r"]).arg(&object).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let before = code();
        fs::remove_file(&object).unwrap();
        let arguments = command.driver_arguments();
        Run { directory: command.directory.into(), arguments }.repeat();
        assert_eq!(code(), before, "{source}");
    }
}

#[test]
fn an_editor_has_no_complaint_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().canonicalize().unwrap();
    let Some(commands) = commands(&directory) else { return };
    no_complaint(&directory, &commands);
}
