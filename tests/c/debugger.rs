//! A debugger on a host: it stops in the code of a version that is loaded while it watches.

use reloader_tests::{missing, tool};

use crate::program::{Script, counter, guest, host};

#[test]
fn a_breakpoint_by_file_and_line_is_hit_in_a_later_version() {
    let Some(gdb) = tool("gdb") else { return };
    // The third line of the second source file.
    let worker =
        "int work(int argument) {\n    int local = argument * 2;\n    return local + 1;\n}\n";
    let second = guest("int work(int);", "return operation == CR_STEP ? work(20) : 0;")
        .source("worker", worker)
        .flag("-O0");
    let script = Script::new(&counter(100)).update(1).put(&second).update(1).and("close");
    let commands = "set pagination off\nset breakpoint pending on\nset debuginfod enabled off\n\
        set confirm off\nhandle SIG64 nostop noprint pass\nbreak worker.c:3\nrun\nbacktrace 2\n\
        print local\ninfo sharedlibrary\ncontinue\n";
    std::fs::write(script.directory().join("commands"), commands).unwrap();
    let mut debugger = std::process::Command::new(gdb.0);
    debugger.args(["-nx", "-batch", "-x", "commands", "--args"]);
    let command = script.command(&host("").path());
    debugger.arg(command.get_program()).args(command.get_args());
    debugger.current_dir(script.directory()).env("TMPDIR", script.temporary());
    let output = debugger.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let forbidden = ["Couldn't get CS register", "ptrace: Operation not permitted"];
    if forbidden.iter().any(|words| text.contains(words)) {
        missing("this machine forbids debugging");
        return;
    }
    let wanted = ["work (argument=20) at worker.c:3", "$1 = 40", "update 41 2 0", "close 1 0"];
    for words in wanted {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    // Each version is a file of its own name.
    let names = text.lines().filter(|line| line.contains("/libguest.v"));
    assert_eq!(names.count(), 2, "{text}");
    assert!(text.contains("exited normally"), "{text}");
}
