//! The example under valgrind, and under the sanitizers of its compiler.

use std::process::Command;

use reloader_tests::{Build, missing, tool, write};

use crate::program::{Script, cr, guest};
use crate::workshop::{Program, good};

/// Opens, updates, reloads and closes; the guest has state and memory of its own.
const HOST: &str = r#"
#define _XOPEN_SOURCE 700
#define CR_HOST
#include "cr.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
int main(int count, char **arguments) {
    struct cr_plugin ctx;
    int mode = 0;
    memset(&ctx, 0, sizeof ctx);
    ctx.userdata = &mode;
    if (count < 2 || !cr_plugin_open(&ctx, arguments[1])) return 10;
    for (int step = 1; step <= 20; step++) {
        if (cr_plugin_update(&ctx, true) != step) return 11;
        if (step % 5 == 0) {
            struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000 + step, 0}};
            if (utimensat(AT_FDCWD, arguments[1], times, 0) != 0) return 12;
        }
    }
    reloader_report report = RELOADER_REPORT_INIT;
    reloader_snapshot *snapshot = NULL;
    if (reloader_state((reloader *)ctx.p, &report) != RELOADER_OK || ctx.version != 4) return 13;
    if (reloader_take_snapshot((reloader *)ctx.p, &snapshot) != RELOADER_OK) return 14;
    reloader_free_snapshot(snapshot);
    if (count > 2) {
        mode = 1;
        if (cr_plugin_update(&ctx, true) != -1 || ctx.failure != CR_SEGFAULT || ctx.version != 4) return 15;
        mode = 0;
        if (cr_plugin_update(&ctx, true) < 0 || ctx.failure != CR_NONE) return 16;
    }
    cr_plugin_close(&ctx);
    return 0;
}
"#;

fn script() -> Script {
    let guest = guest(
        "static int CR_STATE count = 0; static int CR_STATE *heap = NULL;",
        "if (operation == CR_LOAD && !heap) heap = calloc(4, sizeof *heap);\n\
         if (operation == CR_STEP && mode == 1) *(volatile int *)8 = 1;\n\
         if (operation == CR_STEP) { count++; heap[1]++; }\n\
         if (operation == CR_CLOSE) { free(heap); heap = NULL; }\nreturn count;",
    );
    let script = Script::empty();
    write(&script.library(), &guest.bytes());
    script
}

/// Valgrind, for a program that is to be free of errors and leaks. Memory is only "possibly lost" if
/// what leads to it leads into its middle, as the standard library's note of a thread does.
pub fn valgrind() -> Option<Command> {
    let mut command = Command::new(tool("valgrind")?.0);
    command.args(["--error-exitcode=99", "--leak-check=full", "--quiet"]);
    command.args(["--show-leak-kinds=definite,indirect"]);
    command.args(["--errors-for-leak-kinds=definite,indirect"]);
    Some(command)
}

#[test]
fn valgrind_has_nothing_to_say() {
    let Some(mut valgrind) = valgrind() else { return };
    let script = script();
    let output = valgrind
        .arg(Program::c(HOST).path())
        .arg(script.library())
        .env("TMPDIR", script.temporary())
        .output()
        .unwrap();
    good(&output, "valgrind");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The same with a context of which only what has to be set is set.
#[test]
fn valgrind_has_nothing_to_say_of_a_context_that_was_not_initialised() {
    let Some(mut valgrind) = valgrind() else { return };
    let guest = "#include \"cr.h\"\nstatic int CR_STATE count = 0;\n\
        CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)\n\
        { (void)ctx; return operation == CR_STEP ? ++count : 0; }\n";
    let script = Script::empty();
    write(&script.library(), &cr(Build::c(guest)).bytes());
    let host =
        HOST.replace("memset(&ctx, 0, sizeof ctx);\n    ctx.userdata = &mode;", "(void)mode;");
    assert!(!host.contains("memset"));
    let output = valgrind
        .arg(Program::c(host).path())
        .arg(script.library())
        .env("TMPDIR", script.temporary())
        .output()
        .unwrap();
    good(&output, "valgrind");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn address_sanitizer_has_nothing_to_say() {
    for compiler in ["gcc", "clang", "clang-19"] {
        if tool(compiler).is_none() {
            continue;
        }
        // The runtime of clang's is a package of its own.
        if !sanitizes(compiler) {
            missing(&format!("the sanitizers' runtime of {compiler} is missing (libclang-rt-dev)"));
            continue;
        }
        let script = script();
        let program = Program::c(HOST).compiler(compiler).flag("-fsanitize=address,undefined");
        let mut command = Command::new(program.path());
        command.arg(script.library()).env("TMPDIR", script.temporary());
        command.env("ASAN_OPTIONS", "detect_leaks=1");
        for crash in [false, true] {
            // The guest's fault is ours, and not one for the sanitizer to report.
            let output = command.args(crash.then_some("crash")).output().unwrap();
            good(&output, compiler);
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn sanitizes(compiler: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("empty.c"), "int main(void) { return 0; }").unwrap();
    let mut command = Command::new(compiler);
    command.current_dir(directory.path()).args(["-fsanitize=address,undefined", "empty.c"]);
    command.output().is_ok_and(|output| output.status.success())
}
