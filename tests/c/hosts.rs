//! Hosts and guests of each language, compiler and optimisation, with both headers.

use reloader_tests::{Build, tool_of};

use crate::program::{Script, cr, other_header};
use crate::workshop::{Link, Program};

/// Counts its steps, and faults when the host says 1.
const GUEST: &str = r#"
static int CR_STATE count = 0;
static int *volatile nowhere = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    if (operation == CR_STEP) {
        if (*(int *)ctx->userdata == 1) *(volatile int *)nowhere = 1;
        count++;
    }
    return count;
}
"#;

const HOST_C: &str = r#"
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
    if (cr_plugin_update(&ctx, true) != 1 || cr_plugin_update(&ctx, false) != 2) return 11;
    struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 0}};
    if (utimensat(AT_FDCWD, arguments[1], times, 0) != 0) return 12;
    if (cr_plugin_update(&ctx, true) != 3 || ctx.version != 2) return 13;
    mode = 1;
    if (cr_plugin_update(&ctx, true) != -1 || ctx.version != 1 || ctx.failure != CR_SEGFAULT) return 14;
    mode = 0;
    if (cr_plugin_update(&ctx, true) != 3 || ctx.failure != CR_NONE) return 15;
    cr_plugin_close(&ctx);
    return ctx.p || ctx.version ? 16 : 0;
}
"#;

/// The same in C++.
fn host_cxx() -> String {
    HOST_C.replace("(&ctx", "(ctx").replace("memset(ctx,", "memset(&ctx,")
}

#[test]
fn every_compiler_language_and_optimisation_works_with_every_other() {
    let all: &[&str] = &["-O0", "-O1", "-O2", "-O3"];
    let compilers = [
        (("gcc", "g++"), all),
        (("clang", "clang++"), all),
        // A newer one of the same house at one level.
        (("clang-19", "clang++-19"), &["-O2"]),
    ];
    let compilers = compilers.into_iter().filter(|((c, _), _)| tool_of(&[c]).is_some());
    for ((c, cxx), level) in
        compilers.flat_map(|(pair, levels)| levels.iter().map(move |&level| (pair, level)))
    {
        let hosts = [
            Program::c(HOST_C).compiler(c).flag(level),
            Program::cxx(host_cxx()).compiler(cxx).flag(level),
        ];
        let included = |header: &str| format!("#include \"{header}\"\n{GUEST}");
        let guests = [
            cr(Build::c(included("cr.h"))).compiler(c).flag(level),
            cr(Build::cxx(included("cr.h"))).compiler(cxx).flag(level),
            Build::c(included("reloader_guest.h")).compiler(c).flag(level),
            Build::cxx(included("reloader_guest.h")).compiler(cxx).flag(level),
        ];
        for host in &hosts {
            for guest in &guests {
                assert_eq!(status(host, guest), 0, "{host:?} with {guest:?}");
            }
        }
    }
}

#[test]
fn a_host_that_is_linked_statically_works_as_one_that_is_not() {
    let guest = cr(Build::c(format!("#include \"cr.h\"\n{GUEST}")));
    assert_eq!(status(&Program::c(HOST_C).link(Link::Static), &guest), 0);
    assert_eq!(status(&Program::cxx(host_cxx()).link(Link::Static), &guest), 0);
}

#[test]
fn a_guest_that_includes_both_headers_compiles() {
    for first in ["cr.h", "reloader_guest.h"] {
        let second = if first == "cr.h" { "reloader_guest.h" } else { "cr.h" };
        let source = format!("#include \"{first}\"\n#include \"{second}\"\n{GUEST}");
        let guest = cr(Build::c(source)).header("reloader_guest.h", other_header());
        assert_eq!(status(&Program::c(HOST_C), &guest), 0);
    }
}

fn status(host: &Program, guest: &Build) -> i32 {
    let script = Script::empty();
    reloader_tests::write(&script.library(), &guest.bytes());
    let mut command = std::process::Command::new(host.path());
    let status = command.arg(script.library()).env("TMPDIR", script.temporary()).status().unwrap();
    status.code().unwrap_or(-1)
}
