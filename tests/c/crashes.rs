//! What a guest does wrong, and when: each case through `cr.h` in a process of its own.

use std::os::unix::process::ExitStatusExt;

use reloader_tests::Build;

use crate::program::{Script, counter, guest, guest_cxx, host, impatient_host};
use crate::workshop::{Program, good};

/// A guest that counts, and does `crime` in `operation` when the host says 1.
fn criminal(operation: &str, crime: &str) -> Build {
    let body = format!(
        "if (operation == CR_STEP) count++;\n\
         if (mode == 1 && operation == {operation}) {{ {crime} }}\nreturn count;"
    );
    let declarations = "#define _GNU_SOURCE\n#include <assert.h>\n#include <signal.h>\n#include <string.h>\n#include <sys/mman.h>\n\
        static int CR_STATE count = 0; static volatile int zero; int deep(int);\n\
        int deep(int n) { volatile char a[4096]; a[0] = (char)n; return n < 0 ? 0 : deep(n + 1) + a[0]; }";
    guest(declarations, &body).flag("-O1").flag("-fno-optimize-sibling-calls").flag("-w")
}

/// Two good versions, then one that fails in its step.
fn fails_in_step(guest: &Build) -> Vec<String> {
    let script = Script::new(guest).update(2).and("touch").update(1);
    let script = script.and("mode:1").update(1).and("mode:0").update(2).and("touch").update(1);
    script.and("close").updates(&host(""))
}

#[test]
fn every_fault_in_a_step_goes_back_and_the_next_build_loads() {
    let cases = [
        ("*(volatile int *)8 = 1;", 1),
        ("__builtin_trap();", 2),
        // Nothing is behind the page of an empty file.
        (
            "char *volatile p = mmap(0, 4096, PROT_READ, MAP_SHARED, memfd_create(\"\", 0), 0); count = *p;",
            4,
        ),
        ("abort();", 3),
        ("assert(zero == 1);", 3),
        ("count = 5 / zero;", 10 + libc::SIGFPE),
        ("__asm__ volatile (\"int3\");", 10 + libc::SIGTRAP),
        ("count = deep(0);", 6),
        ("raise(SIGSEGV);", 1),
        ("char *volatile p = malloc(24); free(p); free(p);", 3),
    ];
    for (crime, failure) in cases {
        if crime.contains("int3") && !cfg!(target_arch = "x86_64") {
            continue;
        }
        let updates = fails_in_step(&criminal("CR_STEP", crime));
        let failed = format!("-1 1 {failure}");
        let wanted = ["1 1 0", "2 1 0", "3 2 0", &failed, "3 1 0", "4 1 0", "5 3 0"];
        assert_eq!(updates, wanted, "{crime}");
    }
}

#[test]
fn an_exception_that_leaves_the_guest_is_a_failure() {
    for crime in ["throw 1;", "std::terminate();"] {
        let body = format!(
            "if (operation == CR_STEP && mode == 1) {{ {crime} }} return (int)ctx->version;"
        );
        let guest = guest_cxx("#include <exception>", &body);
        let updates = fails_in_step(&guest);
        assert_eq!(updates, ["1 1 0", "1 1 0", "2 2 0", "-1 1 3", "1 1 0", "1 1 0", "3 3 0"]);
    }
}

#[test]
fn a_hosts_own_catch_is_not_bothered_with_the_guests_exceptions() {
    let body = "if (operation == CR_STEP && mode == 1) throw 1; return (int)ctx->version;";
    let script = Script::new(&guest_cxx("", body)).update(1).and("touch").update(1).and("mode:1");
    let lines = script.and("catching").and("mode:0").update(1).and("close").run(&host(""));
    assert_eq!(lines[2..5], ["update 2 2 0", "update -1 1 3", "uncaught 0"].map(str::to_owned)[..]);
    assert_eq!(lines[5], "update 1 1 0");
}

#[test]
fn an_endless_loop_is_a_failure_where_the_host_sets_a_deadline() {
    let updates = {
        let script = Script::new(&criminal("CR_STEP", "for (;;) zero = 0;")).update(1);
        let script = script.and("touch").update(1).and("mode:1").update(1).and("mode:0").update(1);
        script.put(&counter(100)).update(1).and("close").updates(&impatient_host())
    };
    assert_eq!(updates[..2], ["1 1 0", "2 2 0"]);
    assert!(updates[2].starts_with("-1 1 "), "{updates:?}");
    assert_eq!(updates[3..], ["2 1 0", "103 3 0"]);
}

#[test]
fn a_first_version_that_fails_leaves_the_place_to_a_fixed_build() {
    for (operation, value) in [("CR_STEP", -1), ("CR_LOAD", -2)] {
        let bad = criminal(operation, "*(volatile int *)8 = 1;");
        let script = Script::empty().and("mode:1");
        reloader_tests::write(&script.library(), &bad.bytes());
        let script = script.and("open").update(2).put(&counter(100)).update(2).and("close");
        let first = format!("{value} 0 1");
        assert_eq!(script.updates(&host("")), [&first, "-2 0 9", "101 2 0", "102 2 0"]);
    }
}

#[test]
fn a_load_that_fails_goes_back_and_the_next_build_loads() {
    let bad = criminal("CR_LOAD", "*(volatile int *)8 = 1;");
    let script = Script::new(&counter(100)).update(1).put(&bad).and("mode:1").update(1);
    let script = script.and("mode:0").update(1).put(&counter(300)).update(1).and("close");
    assert_eq!(script.updates(&host("")), ["101 1 0", "-2 1 1", "102 1 0", "303 3 0"]);
}

#[test]
fn a_load_that_fails_goes_back_even_where_the_rollback_fails_too() {
    let bad = criminal("CR_LOAD", "abort();");
    let script = Script::new(&bad).update(1).and("touch").and("mode:1").update(2);
    let script = script.and("mode:0").update(1).and("touch").update(1).and("close");
    // 2 fails to load, then 1 fails to load again: nothing is left, and the next build is taken.
    let updates = script.updates(&host(""));
    assert_eq!(updates[..3], ["1 1 0", "-2 1 3", "-2 0 3"]);
    assert_eq!(updates[3], "-2 0 9");
    assert_eq!(updates[4], "1 3 0");
}

#[test]
fn an_unload_that_fails_does_not_cost_the_only_version_the_new_build() {
    let bad = criminal("CR_UNLOAD", "abort();");
    let script = Script::new(&bad).update(2).and("mode:1").put(&counter(100)).update(2);
    assert_eq!(script.updates(&host("")), ["1 1 0", "2 1 0", "103 2 0", "104 2 0"]);
}

#[test]
fn a_crash_in_close_leaves_nothing_behind() {
    let script =
        Script::new(&criminal("CR_CLOSE", "abort();")).update(2).and("mode:1").and("close");
    assert_eq!(script.run(&host("")).last().unwrap(), "close 1 0");
    let left: Vec<_> = std::fs::read_dir(script.temporary()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_negative_number_is_handed_on_and_goes_back() {
    let says_no = criminal("CR_STEP", "return -5;");
    let script = Script::new(&says_no).update(1).and("touch").update(1).and("mode:1").update(1);
    let script = script.and("mode:0").update(1);
    assert_eq!(script.updates(&host("")), ["1 1 0", "2 2 0", "-5 1 256", "2 1 0"]);
    // With nothing to go back to, the version stays.
    let script = Script::new(&says_no).update(1).and("mode:1").update(1).and("mode:0").update(1);
    assert_eq!(script.updates(&host("")), ["1 1 0", "-5 1 256", "3 1 0"]);
}

#[test]
fn a_negative_number_from_a_load_goes_back_and_one_from_an_unload_loses_nothing() {
    let no = criminal("CR_LOAD", "return -1;");
    let script = Script::new(&no).update(1).and("touch").and("mode:1").update(1).and("mode:0");
    assert_eq!(script.update(1).updates(&host("")), ["1 1 0", "-2 1 256", "2 1 0"]);
    let no = criminal("CR_UNLOAD", "return -1;");
    let script = Script::new(&no).update(2).and("mode:1").put(&counter(100)).update(1);
    assert_eq!(script.updates(&host("")), ["1 1 0", "2 1 0", "103 2 0"]);
}

#[test]
fn a_constructor_that_crashes_costs_nothing() {
    let bad = guest(
        "__attribute__((constructor)) static void make(void) { abort(); }",
        "return (int)ctx->version;",
    );
    let script = Script::new(&counter(100)).update(1).put(&bad).update(2);
    // A touched file is tried again.
    let script = script.and("touch").update(2).put(&counter(200)).update(1).and("close");
    let updates = script.updates(&host(""));
    assert_eq!(updates[..3], ["101 1 0", "102 1 3", "103 1 0"]);
    assert_eq!(updates[3..], ["104 1 3", "105 1 0", "206 4 0"]);
}

#[test]
fn a_destructor_that_crashes_costs_nothing() {
    let bad = guest(
        "__attribute__((destructor)) static void unmake(void) { abort(); }\n\
         static int CR_STATE count = 0;",
        "if (operation == CR_STEP) count++; return count;",
    );
    let mut script = Script::new(&bad).update(1);
    for base in 1..6 {
        script = script.put(&counter(base * 100)).update(1);
    }
    let values: Vec<_> = script.and("close").updates(&host(""));
    let values: Vec<_> = values.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(values, ["1", "102", "203", "304", "405", "506"]);
}

#[test]
fn the_hosts_own_bug_ends_the_host_as_it_would_without_us() {
    let script = Script::new(&counter(0)).update(1).and("bug").update(1);
    let output = script.output(&host(""));
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    let output = Script::new(&counter(0)).update(1).and("bug-thread").output(&host(""));
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "on another thread");
    let script = Script::empty().and("handler");
    reloader_tests::write(&script.library(), &counter(0).bytes());
    let script = script.and("open").update(1).and("bug");
    let output = script.output(&host(""));
    assert_eq!(output.status.code(), Some(7), "the host's own handler is asked");
    assert!(String::from_utf8_lossy(&output.stdout).contains("own handler"));
    // And has the signal for itself again after the close.
    let output = Script::new(&counter(0)).update(1).and("close").and("bug").output(&host(""));
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
}

#[test]
fn a_plugin_moves_between_threads_and_its_context_in_memory() {
    let script = Script::new(&counter(0)).and("thread").update(1).and("moved").update(1);
    let script = script.and("thread").and("moved").and("close");
    assert_eq!(script.updates(&host("")), ["1 1 0", "2 1 0", "3 1 0", "4 1 0"]);
}

#[test]
fn what_never_worked_is_not_gone_back_to() {
    let crashes = criminal("CR_STEP", "abort();");
    let script = Script::new(&counter(100)).update(1).put_bytes(b"no image").update(1);
    let script = script.put(&crashes).update(1).and("touch").update(1).and("mode:1").update(2);
    let script = script.and("mode:0").update(1).and("close");
    let lines = script.updates(&host(""));
    assert_eq!(lines[..4], ["101 1 0", "102 1 8", "3 2 0", "4 3 0"]);
    // 3 fails, then 2 that it goes back to; the one before that is 1.
    assert_eq!(lines[4..], ["-1 2 3", "-1 1 3", "103 1 0"]);
}

#[test]
fn a_fault_on_a_thread_of_the_guests_ends_the_host_and_nothing_else_happens() {
    let body = "if (operation != CR_STEP) return 0;\n\
        if (mode == 1) { pthread_t t; pthread_create(&t, 0, fault, 0); pthread_join(t, 0); } return 7;";
    let thread = guest(
        "#include <pthread.h>\nstatic void *fault(void *a) { *(volatile int *)8 = 1; return a; }",
        body,
    );
    let script = Script::new(&thread).update(1).and("mode:1").update(1);
    let output = script.output(&host(""));
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("update 7 1 0\n"));
}

#[test]
fn a_fault_on_a_thread_of_the_guests_between_updates_ends_the_host_too() {
    let declarations = "#include <pthread.h>\n\
        static void *fault(void *mode) { while (*(volatile int *)mode != 2) {} *(volatile int *)8 = 1; return 0; }";
    let body = "if (operation == CR_STEP && mode == 1) {\n\
        pthread_t t; pthread_create(&t, 0, fault, ctx->userdata); pthread_detach(t); } return 7;";
    let script = Script::new(&guest(declarations, body)).update(1).and("mode:1").update(1);
    let output = script.and("mode:2").and("wait").output(&host(""));
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("update 7 1 0\nupdate 7 1 0\n"));
}

#[test]
fn a_guest_with_a_running_thread_is_reloaded_and_its_thread_runs_on() {
    let declarations = "#include <pthread.h>\n#include <stdatomic.h>\n\
        static atomic_int stop, beats; static int CR_STATE started = 0;\n\
        static void *beat(void *a) { while (!stop) beats++; return a; }";
    let body = "if (operation == CR_STEP && !started) {\n\
        pthread_t t; started = 1; pthread_create(&t, 0, beat, 0); pthread_detach(t); } return (int)ctx->version;";
    let mut script = Script::new(&guest(declarations, body)).update(1);
    for n in 2..9 {
        script = script.put(&guest(declarations, &format!("{body} /* {n} */"))).update(1);
    }
    let values = script.and("close").updates(&host(""));
    let wanted: Vec<_> = (1..9).map(|n| format!("{n} {n} 0")).collect();
    assert_eq!(values, wanted);
}

#[test]
fn exit_in_a_guest_ends_the_process_as_it_says() {
    let guest = criminal("CR_STEP", "exit(3);");
    let output = Script::new(&guest).update(1).and("mode:1").update(1).output(&host(""));
    assert_eq!(output.status.code(), Some(3));
}

const TWO: &str = r#"
#define CR_HOST
#include "cr.h"
#include <atomic>
#include <thread>
// Two plugins on two threads: one crashes all the time, the other never notices.
static std::atomic<bool> done{false};
int main(int, char **arguments) {
    int quiet = 0, loud = 1, crashes = 0;
    cr_plugin good, bad;
    good.userdata = &quiet;
    bad.userdata = &loud;
    if (!cr_plugin_open(good, arguments[1]) || !cr_plugin_open(bad, arguments[2])) return 10;
    std::thread other([&] {
        for (int i = 0; i < 300; i++)
            if (cr_plugin_update(bad, true) < 0) crashes++;
        done = true;
    });
    int steps = 0;
    while (!done || steps < 1000)
        if (cr_plugin_update(good, true) != ++steps) return 11;
    other.join();
    cr_plugin_close(bad);
    cr_plugin_close(good);
    return crashes == 300 ? 0 : 12;
}
"#;

const TURNS: &str = r#"
#define CR_HOST
#include "cr.h"
// Two plugins in turn: one crashes every time, the other never notices.
int main(int, char **arguments) {
    int quiet = 0, loud = 1;
    cr_plugin good, bad;
    good.userdata = &quiet;
    bad.userdata = &loud;
    if (!cr_plugin_open(good, arguments[1]) || !cr_plugin_open(bad, arguments[2])) return 10;
    for (int i = 1; i <= 100; i++) {
        if (cr_plugin_update(good) != i || good.failure != CR_NONE) return 11;
        if (cr_plugin_update(bad) >= 0) return 12;
    }
    cr_plugin_close(bad);
    if (cr_plugin_update(good) != 101) return 13;
    cr_plugin_close(good);
    return 0;
}
"#;

#[test]
fn of_two_plugins_in_turn_one_crashes_alone() {
    two_plugins(TURNS);
}

#[test]
fn of_two_plugins_on_two_threads_one_crashes_alone() {
    two_plugins(TWO);
}

fn two_plugins(host: &str) {
    let script = Script::new(&counter(0));
    let bad = script.directory().join("libbad.so");
    reloader_tests::write(&bad, &criminal("CR_STEP", "abort();").bytes());
    let mut command = std::process::Command::new(Program::cxx(host).path());
    command.arg(script.library()).arg(bad).env("TMPDIR", script.temporary());
    good(&command.output().unwrap(), "two plugins");
}

const NESTED: &str = r#"
#define CR_HOST
#include "cr.h"
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation);
// A guest that is the host of another: `userdata` leads to its path.
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    static cr_plugin inner;
    static int mode = 1, failed = 0;
    const char *path = *(const char **)ctx->userdata;
    if (operation == CR_LOAD) { inner.userdata = &mode; return cr_plugin_open(inner, path) ? 0 : -1; }
    if (operation == CR_STEP) {
        int value = cr_plugin_update(inner);
        if (value == -1) { mode = 0; return 100 + (int)inner.failure; }
        if (value == -2 && ++failed == 3) *(volatile int *)8 = 1;
        return value;
    }
    cr_plugin_close(inner);
    return 0;
}
"#;

const OUTER: &str = r#"
#define CR_HOST
#include "cr.h"
int main(int, char **arguments) {
    cr_plugin ctx;
    const char *inner = arguments[2];
    ctx.userdata = &inner;
    if (!cr_plugin_open(ctx, arguments[1])) return 10;
    if (cr_plugin_update(ctx) != 101) return 11;           // the inner one crashed, and is gone
    for (int i = 0; i < 2; i++) if (cr_plugin_update(ctx) != -2) return 12 + i;
    // Now the outer one crashes after the call of the inner one, and is gone too.
    if (cr_plugin_update(ctx) != -1 || ctx.failure != CR_SEGFAULT || ctx.version != 0) return 14;
    if (cr_plugin_update(ctx) != -2 || ctx.failure != CR_INITIAL_FAILURE) return 15;
    cr_plugin_close(ctx);
    return 0;
}
"#;

#[test]
fn a_plugin_in_a_plugin_crashes_alone() {
    // The outer guest needs the library; the inner one crashes as the first version and stays away.
    let outer = Program::cxx(NESTED).flag("-shared").flag("-fPIC");
    let script = Script::empty();
    let inner = script.directory().join("libinner.so");
    reloader_tests::write(&inner, &criminal("CR_STEP", "*(volatile int *)8 = 1;").bytes());
    let mut command = std::process::Command::new(Program::cxx(OUTER).path());
    command.arg(outer.path()).arg(inner).env("TMPDIR", script.temporary());
    let output = command.output().unwrap();
    // After the crash the inner plugin has no version: the outer guest returns its -2.
    good(&output, "nested");
}
