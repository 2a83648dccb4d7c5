//! The order of events that cr's own test asserts, version numbers included.

use reloader_tests::Build;

use crate::program::{Script, guest_cxx, host};

/// A guest that does one of several things in every call, as the host says. `userdata` leads to the
/// number of it and to a pointer for a block on the heap.
fn basic() -> Build {
    guest_cxx(
        r#"
static unsigned CR_STATE in_file = 0;
static volatile int *nowhere = nullptr;
struct shared { int mode; unsigned char *heap; };
static int intact(const unsigned char *heap) {
    int right = 0;
    while (right < 4096 && heap[right] == right % 251) right++;
    return right;
}
static int counted() {
    static int CR_STATE in_function = -10;
    if (in_function < 0) in_function = 10;
    return ++in_function;
}
"#,
        r#"
auto &heap = static_cast<shared *>(ctx->userdata)->heap;
switch (mode) {
case 0: return (int)ctx->version;
case 1: return counted();
case 2: return (int)++in_file;
case 3: if (operation == CR_STEP) *nowhere = 1; return 0;
case 4: if (operation == CR_LOAD) *nowhere = 1; return 0;
case 5: if (operation == CR_UNLOAD) *nowhere = 1; return 0;
case 6: if (!heap) heap = static_cast<unsigned char *>(malloc(4096)); for (int i = 0; i < 4096; i++) heap[i] = i % 251; return 0;
case 7: return intact(heap);
case 8: free(heap); heap = nullptr; return 0;
}
return -1;
"#,
    )
}

#[test]
fn versions_state_and_failures_come_as_in_cr() {
    let mut script = Script::new(&basic());
    let mut wanted = Vec::new();
    let mut expect = |commands: &[&str], line: &str| {
        let taken = std::mem::replace(&mut script, Script::empty());
        script = commands.iter().fold(taken, |script, command| script.and(command)).update(1);
        wanted.push(line.to_owned());
    };
    expect(&["mode:0"], "1 1 0");
    expect(&["mode:1"], "11 1 0");
    expect(&["mode:2"], "1 1 0");
    expect(&["mode:1"], "12 1 0");
    expect(&["mode:6"], "0 1 0");
    expect(&["mode:7"], "4096 1 0");
    expect(&["touch", "mode:0"], "2 2 0");
    expect(&["mode:2"], "2 2 0");
    expect(&[], "3 2 0");
    expect(&["mode:1"], "13 2 0");
    expect(&[], "14 2 0");
    expect(&["mode:7"], "4096 2 0");
    // A fault in a step: the number and the failure are there at once.
    expect(&["mode:3"], "-1 1 1");
    expect(&["mode:0"], "1 1 0");
    expect(&["mode:1"], "13 1 0");
    expect(&["mode:2"], "2 1 0");
    expect(&["mode:7"], "4096 1 0");
    expect(&["touch", "mode:0"], "3 3 0");
    expect(&["mode:1"], "14 3 0");
    expect(&["mode:2"], "3 3 0");
    expect(&["mode:7"], "4096 3 0");
    expect(&["mode:8"], "0 3 0");
    // In a load.
    expect(&["touch", "mode:4"], "-2 3 1");
    expect(&["mode:0"], "3 3 0");
    // In an unload, of a version that was gone back to: the one with the next lower number.
    expect(&["touch", "mode:5"], "-2 2 1");
    expect(&["mode:0"], "2 2 0");
    expect(&["mode:1"], "15 2 0");
    expect(&["mode:2"], "4 2 0");
    // A test of cr's looks up where the copies were, and removes them.
    let script = script.and("internals").and("close");
    let lines = script.run(&host(""));
    let updates: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("update ")).collect();
    assert_eq!(updates, wanted);
    assert_eq!(lines[0], "open 1");
    assert_eq!(lines[lines.len() - 2..], ["internals ./libguest.so []", "close 1 0"]);
    assert!(script.library().exists(), "the build itself is nobody's copy");
}

#[test]
fn the_build_that_waited_for_a_failed_unload_is_loaded_after_all() {
    let body = "if (mode == 5 && operation == CR_UNLOAD) abort(); return (int)ctx->version;";
    let script = Script::new(&guest_cxx("", body)).update(1).and("touch").update(1);
    let script = script.and("touch").and("mode:5").update(1).and("mode:0").update(1).and("until:4");
    assert_eq!(script.updates(&host("")), ["1 1 0", "2 2 0", "-2 1 3", "1 1 0"]);
}

#[test]
fn what_is_gone_back_to_runs_before_a_new_build_does() {
    let script = Script::new(&basic()).and("mode:0").update(1).and("touch").update(1);
    // The new build is there when the running one fails.
    let script = script.and("touch").and("mode:3").and("quick").and("mode:0").update(2);
    let wanted = ["1 1 0", "2 2 0", "-1 1 1", "1 1 0", "3 3 0"];
    assert_eq!(script.and("close").updates(&host("")), wanted);
}
