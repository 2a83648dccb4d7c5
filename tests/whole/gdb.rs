//! A debugger on the host: it stops in the code of a version that was loaded long after it was
//! attached.

use std::process::Command;

use reloader::Step;
use reloader_tests::{Bench, Build, alone, step_until, tool};

const FIRST: &str = r#"#include "reloader_guest.h"
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    return operation == CR_STEP ? 1 : 0;
}
"#;

/// The line to stop at is the fifth.
const SECOND: &str = r#"#include "reloader_guest.h"
static int CR_STATE count = 40;
int work(int argument) {
    int local = argument * 2;
    count += local;
    return count;
}
"#;

fn second() -> Build {
    Build::c(
        r#"#include "reloader_guest.h"
int work(int argument);
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    return operation == CR_STEP ? work(1) : 0;
}
"#,
    )
    .source("worker", SECOND)
    .flag("-O0")
}

#[test]
fn a_breakpoint_by_file_and_line_is_hit_in_the_second_version() {
    let Some(host) = alone("gdb::a_breakpoint_by_file_and_line_is_hit_in_the_second_version")
    else {
        let bench = Bench::with(&Build::c(FIRST));
        let (mut plugin, _) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(1));
        bench.put(&second());
        step_until(&mut plugin, |step| step == Step::Ran(42));
        plugin.close();
        println!("the host came to its end");
        return;
    };
    let Some(gdb) = tool("gdb") else { return };
    // Compiled beforehand, so that the debugger does not follow compilers.
    second().path();
    Build::c(FIRST).path();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    std::fs::write(
        &script,
        "set pagination off\nset breakpoint pending on\nset debuginfod enabled off\nset confirm off\n\
         handle SIG64 nostop noprint pass\n\
         break worker.c:5\nrun\nbacktrace 2\nprint local\nprint count\ninfo sharedlibrary\ncontinue\n",
    )
    .unwrap();
    let mut command = Command::new(&gdb.0);
    command.args(["-nx", "-batch", "-x"]).arg(&script).arg("--args").arg(host.get_program());
    command.args(host.get_args());
    for (name, value) in host.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Couldn't get CS register") || text.contains("ptrace: Operation not permitted")
    {
        println!("skipped: this machine forbids debugging");
        return;
    }
    let expect = |what: &str| assert!(text.contains(what), "no {what:?} in:\n{text}");
    expect("work (argument=1) at worker.c:5");
    expect("$1 = 2");
    expect("$2 = 40");
    expect("libguest.v2-");
    expect("the host came to its end");
    expect("exited normally");
}
