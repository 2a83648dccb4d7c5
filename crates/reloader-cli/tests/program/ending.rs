use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::guest::Guest;
use crate::session::{LIMIT, Session, program};
use crate::terminal::{all_of, terminal};

#[test]
fn an_interrupt_and_a_termination_close_the_library() {
    for signal in [Signal::INT, Signal::TERM] {
        let Some(guest) = Guest::counting() else { return };
        // The wait for the next step, of which there will be none, ends too.
        let session = Session::spawn(
            program().args(["run", "--json", "--interval", "3600000"]).arg(guest.library()),
        );
        session.expect("loaded");
        session.signal(signal);
        let closed = session.end().closed(0);
        assert_eq!(closed["version"], 1);
        assert_eq!(fs::read_to_string(guest.mark()).unwrap(), closed["steps"].to_string());
    }
}

#[test]
fn a_second_interrupt_ends_a_library_that_never_returns() {
    let Some(guest) = Guest::with_step("for (;;) counter = 1;") else { return };
    // What the program cannot clean up goes with the library's directory.
    let session = Session::spawn(
        program().args(["run", "--json", "--temp-dir"]).arg(guest.directory()).arg(guest.library()),
    );
    session.expect("loaded");
    session.signal(Signal::INT);
    let advice = session.expect_error();
    assert!(advice.contains("interrupt once more") && advice.contains("--deadline"), "{advice}");
    session.signal(Signal::INT);
    let end = session.end();
    assert_eq!(end.status.signal(), Some(Signal::INT.as_raw()));
    assert!(!guest.mark().exists());
}

#[test]
fn an_end_with_no_version_running_is_a_failure_that_names_the_library() {
    let Some(guest) = Guest::counting() else { return };
    guest.spoil();
    let session = Session::spawn(program().args(["run", "--json"]).arg(guest.library()));
    session.expect("refused");
    session.signal(Signal::TERM);
    let end = session.end();
    let closed = end.closed(1);
    assert!(closed["version"].is_null() && closed["steps"] == 0, "{closed}");
    let error = end.error_text();
    assert!(error.contains(guest.library().to_str().unwrap()), "{error}");
}

#[test]
fn an_output_that_nobody_reads_any_more_ends_the_program_quietly() {
    for json in [true, false] {
        let Some(guest) = Guest::counting() else { return };
        let mut command = program();
        command.args(["run", "--interval", "1"]).args(json.then_some("--json"));
        let mut child = command
            .arg(guest.library())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.contains("loaded"), "{line}");
        drop(output);

        let mut errors = child.stderr.take().unwrap();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            sender.send(text).unwrap();
        });
        let text = ended.recv_timeout(LIMIT);
        if text.is_err() {
            child.kill().unwrap();
        }
        assert_eq!(text.expect("the program ends"), "");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(guest.mark().exists(), "the library was closed");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let Some(guest) = Guest::counting() else { return };
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no /dev/full");
        return;
    };
    let output =
        program().args(["run", "--json"]).arg(guest.library()).stdout(full).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write to the standard output"), "{error}");
    assert!(guest.mark().exists(), "the library was closed");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_did_not_decline_it() {
    let Some(guest) = Guest::counting() else { return };
    for (json, no_color, coloured) in [(false, "", true), (false, "1", false), (true, "", false)] {
        let (terminal, side) = terminal();
        let mut command = program();
        command.args(["run", "--steps", "2"]).args(json.then_some("--json")).arg(guest.library());
        let mut child =
            command.env("NO_COLOR", no_color).stdout(Stdio::from(side)).spawn().unwrap();
        // The program's side of the terminal is open in the command too.
        drop(command);
        let text = all_of(terminal);
        assert!(child.wait().unwrap().success());
        assert!(text.contains("loaded") && text.contains("closed"), "{text}");
        assert_eq!(text.contains('\x1b'), coloured, "{text:?}");
    }
}

#[test]
fn an_output_that_is_no_terminal_has_no_escape_bytes() {
    let Some(guest) = Guest::counting() else { return };
    guest.spoil();
    let output = program().args(["run", "--give-up", "50"]).arg(guest.library()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty() && !output.stderr.is_empty());
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
}
