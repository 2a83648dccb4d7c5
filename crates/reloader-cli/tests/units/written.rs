use std::fs;
use std::path::PathBuf;
use std::process::Command;

use reloader_tests::{Tool, tool};

use crate::desk::Desk;

#[test]
fn what_the_question_is_about_is_not_written_to_and_links_stay() {
    let desk = Desk::new();
    let Some(image) = built(&desk, "gcc", &["-g", "a.c", "-o", "image"], "image") else { return };
    let before = fs::read(&image).unwrap();
    std::os::unix::fs::symlink("image", desk.path("link")).unwrap();
    std::os::unix::fs::symlink("there/commands.json", desk.path("commands.json")).unwrap();
    fs::create_dir(desk.path("there")).unwrap();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    for command in ["compile-commands", "build-report"] {
        for output in ["image", "link"] {
            let end = desk.run([command, &path("image"), "-o", &path(output)]);
            assert_eq!(end.code, Some(1), "{}", end.error);
            assert!(end.error.contains("is not written to"), "{}", end.error);
            assert_eq!(fs::read(&image).unwrap(), before);
        }
        // The link leads to what is not there at first.
        let end = desk.run([command, &path("image"), "-o", &path("commands.json")]);
        assert_eq!(end.code, Some(0), "{}", end.error);
        assert!(fs::symlink_metadata(desk.path("commands.json")).unwrap().is_symlink());
        assert!(!fs::read(desk.path("there/commands.json")).unwrap().is_empty());
    }
}

#[test]
fn commands_are_a_shells_whatever_letters_they_have() {
    let desk = Desk::new();
    let arguments = ["-g", "-grecord-command-line", "-DN=\"a\nb\tc\"", "a.c", "-o", "image"];
    let Some(image) = built(&desk, "clang-19", &arguments, "image") else { return };
    let image = image.to_str().unwrap();
    let end = desk.run(["affected", image, "a.c", "--commands"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    assert!(end.output.contains("'N=\"a\nb\tc\"'"), "{}", end.output);
    fs::remove_file(image).unwrap();
    let shell = Command::new("sh").args(["-c", &end.output]).status().unwrap();
    assert!(shell.success() && fs::exists(image).unwrap());
}

#[test]
fn what_was_made_of_a_file_when_all_was_linked_is_said() {
    let desk = Desk::new();
    let Some(Tool(linker)) = tool("lld-link-19") else { return };
    fs::write(desk.path("b.c"), "int mainCRTStartup(void) { return 2; }\n").unwrap();
    let compile =
        ["--target=x86_64-pc-windows-msvc", "-flto=thin", "-g", "-gcodeview", "-c", "b.c"];
    if built(&desk, "clang-19", &[&compile[..], &["-o", "b.obj"]].concat(), "b.obj").is_none() {
        return;
    }
    let link = ["/debug", "/nodefaultlib", "/subsystem:console", "b.obj", "/out:b.exe"];
    let linked = Command::new(linker).args(link).current_dir(desk.path(".")).status().unwrap();
    assert!(linked.success());
    let image = desk.path("b.exe");
    let image = image.to_str().unwrap();
    let end = desk.run(["affected", image, "b.c"]);
    assert_eq!(end.output, "");
    assert!(end.error.contains("made from it when all was linked"), "{}", end.error);
    assert!(!end.error.contains("no unit is known"), "{}", end.error);
    let all = desk.json(["affected", image, "b.c", "--json"]);
    assert_eq!((&all["partial"], all["unknown"].as_array().unwrap().len()), (&1.into(), 0));
    let end = desk.run(["compile-commands", image]);
    assert_eq!(end.output, "[]\n");
    assert!(end.error.contains("generated when all was linked"), "{}", end.error);
}

/// What a compiler makes of a source `a.c` of a function and `main`.
fn built(desk: &Desk, compiler: &str, arguments: &[&str], made: &str) -> Option<PathBuf> {
    let Tool(compiler) = tool(compiler)?;
    fs::write(desk.path("a.c"), "int main(void) { return 0; }\n").unwrap();
    let directory = fs::canonicalize(desk.path(".")).unwrap();
    let status = Command::new(compiler).args(arguments).current_dir(&directory).status().unwrap();
    assert!(status.success(), "{arguments:?}");
    Some(directory.join(made))
}
