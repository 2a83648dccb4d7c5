//! What `install.sh` installs, as build systems find it, and the example.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reloader_tests::{Tool, tool};

use crate::memory::valgrind;
use crate::workshop::{crate_directory, good, install, prefix};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/c")
}

/// A copy of the example, to be built in.
fn workplace() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(examples()).unwrap().flatten().filter(|it| it.path().is_file()) {
        std::fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
    }
    directory
}

fn run(mut host: Command, guest: &Path) -> Output {
    host.arg(guest).arg("2").env("LD_LIBRARY_PATH", prefix().join("lib")).output().unwrap()
}

fn ran(output: &Output) {
    good(output, "the example");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "version 1, after 0 steps\nstep 1 of version 1\nstep 2 of version 1\n");
}

/// The example, built by its Makefile.
fn made() -> Option<tempfile::TempDir> {
    let (Some(_), Some(make)) = (tool("pkg-config"), tool("make")) else { return None };
    let directory = workplace();
    let output = Command::new(make.0)
        .current_dir(directory.path())
        .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
        .output()
        .unwrap();
    good(&output, "make");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(directory)
}

#[test]
fn pkg_config_and_make_build_the_example() {
    let Some(directory) = made() else { return };
    ran(&run(Command::new(directory.path().join("host")), &directory.path().join("libguest.so")));
}

#[test]
fn the_example_is_clean_under_valgrind() {
    let (Some(directory), Some(mut valgrind)) = (made(), valgrind()) else { return };
    valgrind.arg(directory.path().join("host"));
    let output = run(valgrind, &directory.path().join("libguest.so"));
    ran(&output);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn pkg_config_knows_what_a_static_host_needs() {
    let Some(Tool(pkg_config)) = tool("pkg-config") else { return };
    let told = |question: &[&str]| {
        let path = prefix().join("lib/pkgconfig");
        let mut command = Command::new(&pkg_config);
        let output = command.args(question).arg("reloader").env("PKG_CONFIG_PATH", path).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(told(&["--modversion"]).trim(), "0.1.0");
    let libraries = told(&["--static", "--libs"]);
    assert!(libraries.contains("-lreloader") && libraries.contains("-lgcc_s"), "{libraries}");
    assert!(!told(&["--libs"]).contains("-lgcc_s"));
}

#[test]
fn cmake_finds_the_package_and_builds_the_example() {
    let Some(Tool(cmake)) = tool("cmake") else { return };
    let directory = workplace();
    let configure = Command::new(&cmake)
        .current_dir(directory.path())
        .args(["-S", ".", "-B", "build"])
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()))
        .output()
        .unwrap();
    good(&configure, "cmake");
    let build = Command::new(&cmake)
        .current_dir(directory.path())
        .args(["--build", "build"])
        .output()
        .unwrap();
    good(&build, "cmake --build");
    let built = directory.path().join("build");
    ran(&run(Command::new(built.join("host")), &built.join("libguest.so")));
    ran(&run(Command::new(built.join("host-static")), &built.join("libguest.so")));
}

#[test]
fn a_prefix_with_odd_characters_is_found_and_one_that_cannot_be_written_down_refused() {
    let Some(Tool(pkg_config)) = tool("pkg-config") else { return };
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().join("in st&all|x");
    install(&prefix);
    std::fs::write(
        directory.path().join("host.c"),
        "#include <reloader.h>\nint main(void) { return !reloader_version()[0]; }\n",
    )
    .unwrap();
    // As a Makefile's recipe has it.
    let output = Command::new("sh")
        .current_dir(directory.path())
        .arg("-c")
        .arg(r#"eval "cc host.c -o host $("$0" --cflags --libs reloader)" && ./host"#)
        .arg(pkg_config)
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .env("LD_LIBRARY_PATH", prefix.join("lib"))
        .output()
        .unwrap();
    good(&output, "pkg-config and cc");
    for odd in [
        "quo\"te",
        "quo'te",
        "dol$lar",
        "has#h",
        "back\\slash",
        "back`tick",
        "paren(thesis",
        "line\nbreak",
    ] {
        let refused = directory.path().join(odd);
        let output = Command::new(crate_directory().join("install.sh"))
            .arg(&refused)
            .env("BUILT", prefix.join("lib"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{odd}");
        assert!(!refused.exists(), "{odd}");
    }
}
