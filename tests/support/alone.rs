//! Tests that run in a process of their own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// In the test's own process: nothing. Elsewhere: the command that runs the test of this name,
/// `crashes::this_one`, in a process of its own.
pub fn alone(test: &str) -> Option<Command> {
    if std::env::var_os(ALONE).is_some() {
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    Some(command)
}

/// Runs it to its end, which must be a good one.
pub fn pass(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{command:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs it to its end, which must come by this signal after the test has said `before`.
pub fn die(mut command: Command, signal: i32, before: &str) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.signal() == Some(signal) && text.contains(before),
        "{command:?}: {}, wanted signal {signal} after {before:?}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

const ALONE: &str = "RELOADER_TEST_ALONE";
