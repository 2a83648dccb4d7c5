use crate::{
    build::{compiler_available, scratch},
    image::{Guest, Plugin, plugin, state},
};
use std::{
    fs,
    mem::offset_of,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Prints the layout and every number; uses `CR_STATE` in each position it may have.
const NUMBERS: &str = r#"
#include <stddef.h>
#include <stdio.h>
#include "reloader_guest.h"
struct world { int population; };
static int CR_STATE after = 1;
static CR_STATE float before = 1.5f;
static struct world CR_STATE *pointer;
static struct world CR_STATE whole = {3};
static CR_STATE unsigned char array[3] = {1, 2, 3};
int CR_STATE global = 5;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
{
    static int CR_STATE local = 7;
    static CR_STATE double first = 2.5;
    local += (int)operation;
    return ctx->userdata == NULL ? local + (int)first : 0;
}
int main(void)
{
    struct cr_plugin plugin = {NULL, NULL, 1, CR_NONE, 2, 1};
    printf("%u %u %u %u %u %u %u\n", (unsigned)sizeof plugin, (unsigned)offsetof(struct cr_plugin, p),
        (unsigned)offsetof(struct cr_plugin, userdata), (unsigned)offsetof(struct cr_plugin, version),
        (unsigned)offsetof(struct cr_plugin, failure), (unsigned)offsetof(struct cr_plugin, next_version),
        (unsigned)offsetof(struct cr_plugin, last_working_version));
    printf("%d %d %d %d\n", CR_LOAD, CR_STEP, CR_UNLOAD, CR_CLOSE);
    printf("%d %d %d %d %d %d %d %d %d %d %d %d\n", CR_NONE, CR_SEGFAULT, CR_ILLEGAL, CR_ABORT, CR_MISALIGN,
        CR_BOUNDS, CR_STACKOVERFLOW, CR_STATE_INVALIDATED, CR_BAD_IMAGE, CR_INITIAL_FAILURE, CR_OTHER, CR_USER);
    printf("%d\n", cr_main(&plugin, CR_STEP) + after + (int)before + (pointer != NULL) + whole.population
        + array[2] + global);
    return 0;
}
"#;

/// Another header of the same names, as cr's would be.
const FOREIGN: &str = "
#ifndef __CR_H__
#define __CR_H__
enum cr_op { CR_LOAD, CR_STEP, CR_UNLOAD, CR_CLOSE };
struct cr_plugin { int other; };
#define CR_EXPORT
#define CR_STATE
#endif
";

/// Never writes its state.
const SEED: &str = r#"
#include "reloader_guest.h"
static int CR_STATE seed = 1;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
{
    return ctx != 0 && operation == CR_STEP ? seed : 0;
}
"#;

/// Compiles without a single warning, or panics with what the compiler said.
fn compile(compiler: &str, options: &[&str], source: &Path, output: &Path) {
    let strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-I"];
    let done = Command::new(compiler)
        .args(strict)
        .arg(Path::new(ROOT).join("include"))
        .args(options)
        .arg(source)
        .arg("-o")
        .arg(output)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{compiler} {options:?}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Writes a source, and names it in a way that the compiler takes for the language it is for.
fn source(directory: &Path, name: &str, cpp: bool, text: &str) -> PathBuf {
    let path = directory.join(name).with_extension(if cpp { "cpp" } else { "c" });
    fs::write(&path, text).unwrap();
    path
}

const COMPILERS: [(&str, bool, &[&str]); 4] = [
    ("gcc", false, &["c89", "c99", "c11", "c17", "gnu89"]),
    ("clang", false, &["c89", "c99", "c11", "c17", "gnu89"]),
    ("g++", true, &["c++98", "c++11", "c++17", "c++20"]),
    ("clang++", true, &["c++98", "c++11", "c++17", "c++20"]),
];

#[test]
fn every_compiler_and_standard_agrees_with_rust_on_every_number() {
    let expected = format!(
        "{} {} {} {} {} {} {}\n0 1 2 3\n0 1 2 3 4 5 6 7 8 9 10 256\n{}\n",
        size_of::<Plugin>(),
        offset_of!(Plugin, p),
        offset_of!(Plugin, userdata),
        offset_of!(Plugin, version),
        offset_of!(Plugin, failure),
        offset_of!(Plugin, next_version),
        offset_of!(Plugin, last_working_version),
        10 + 1 + 1 + 3 + 3 + 5,
    );
    for (compiler, cpp, standards) in COMPILERS {
        if !compiler_available(compiler) {
            continue;
        }
        let directory = scratch(&format!("numbers-{compiler}"));
        let program = directory.join("numbers");
        let source = source(&directory, "numbers", cpp, NUMBERS);
        for standard in standards {
            compile(compiler, &[&format!("-std={standard}"), "-O2"], &source, &program);
            let output = Command::new(&program).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{compiler} {standard}");
        }
        let variables = state(&program).iter().filter(|variable| variable.size > 0).count();
        assert_eq!(variables, 8, "{compiler}");
    }
}

#[test]
fn the_header_goes_with_another_of_the_same_names_in_either_order() {
    for (compiler, cpp, _) in COMPILERS {
        if !compiler_available(compiler) {
            continue;
        }
        let directory = scratch(&format!("order-{compiler}"));
        fs::write(directory.join("cr.h"), FOREIGN).unwrap();
        for order in [["cr.h", "reloader_guest.h"], ["reloader_guest.h", "cr.h"]] {
            let text = format!(
                "#include {:?}\n#include {:?}\n#include \"reloader_guest.h\"\n\
                 static int CR_STATE x;\n\
                 CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)\n\
                 {{ return ctx != 0 && operation == CR_STEP ? x++ : 0; }}\n",
                order[0], order[1]
            );
            let source = source(&directory, "order", cpp, &text);
            compile(compiler, &["-c"], &source, &directory.join("order.o"));
        }
    }
}

#[test]
fn objects_for_apple_and_windows_have_their_state_section() {
    for compiler in ["clang", "clang++"] {
        if !compiler_available(compiler) {
            continue;
        }
        let directory = scratch(&format!("foreign-{compiler}"));
        let source = source(&directory, "seed", compiler == "clang++", SEED);
        for target in ["arm64-apple-macos", "x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc"] {
            let object = directory.join(target).with_extension("o");
            compile(
                compiler,
                &[&format!("--target={target}"), "-O3", "-c", "-nostdinc++"],
                &source,
                &object,
            );
            let variables = state(&object);
            let found = variables.iter().any(|variable| variable.name.contains("seed"));
            assert!(found, "{compiler} {target} {variables:?}");
        }
    }
}

#[test]
fn a_variable_that_is_only_read_takes_what_the_host_writes() {
    for (compiler, cpp, _) in COMPILERS {
        if !compiler_available(compiler) {
            continue;
        }
        let directory = scratch(&format!("seed-{compiler}"));
        let source = source(&directory, "seed", cpp, SEED);
        let library = directory.join("libseed.so");
        compile(compiler, &["-O3", "-shared", "-fPIC"], &source, &library);
        let guest = Guest::load(&library, "seed");
        assert_eq!(guest.call(&mut plugin(), 1), 1);
        // SAFETY: the image is loaded, the variable is an int, and the guest is not running.
        unsafe { guest.variable("seed").cast::<i32>().write(42) };
        assert_eq!(guest.call(&mut plugin(), 1), 42, "{compiler}");
        assert!(guest.unload());
    }
}

#[test]
fn the_examples_run_and_count_in_their_state() {
    for (compiler, cpp, _) in COMPILERS {
        if !compiler_available(compiler) {
            continue;
        }
        let (example, variable, unknown) =
            if cpp { ("guest.cpp", "all", -3) } else { ("guest.c", "steps", 0) };
        let library = scratch(&format!("example-{compiler}")).join("libguest.so");
        let source = Path::new(ROOT).join("examples").join(example);
        compile(compiler, &["-O2", "-shared", "-fPIC"], &source, &library);
        let guest = Guest::load(&library, "example");
        for operation in [0, 1, 1, 1, 2, 3] {
            assert_eq!(guest.call(&mut plugin(), operation), 0, "{compiler}");
        }
        // The first word is the count of steps in both. SAFETY: the image is loaded, the variable
        // starts with an int, and the guest is not running.
        assert_eq!(unsafe { guest.variable(variable).cast::<u32>().read() }, 3, "{compiler}");
        assert_eq!(guest.call(&mut plugin(), 4), unknown, "{compiler}");
        assert!(guest.unload());
    }
}
