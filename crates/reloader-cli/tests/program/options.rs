use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::guest::Guest;
use crate::session::{Session, program};

#[test]
fn a_call_that_takes_longer_than_the_deadline_is_a_fault() {
    let Some(guest) = Guest::counting() else { return };
    let session =
        Session::spawn(program().args(["run", "--json", "--deadline", "200"]).arg(guest.library()));
    session.expect("loaded");
    guest.build("for (;;) counter = -1;");
    session.expect("reloaded");
    let fault = session.expect("fault");
    assert_eq!(fault["kind"], "deadline");
    assert_eq!(fault["function"], "step");
    assert_eq!(session.expect("rolled_back")["version"], 1);
    session.signal(Signal::TERM);
    session.end().closed(0);
}

#[test]
fn without_state_every_version_starts_afresh() {
    let Some(guest) = Guest::counting() else { return };
    let session =
        Session::spawn(program().args(["run", "--json", "--state", "off"]).arg(guest.library()));
    session.expect("loaded");
    guest.build("return counter;");
    let reloaded = session.expect("reloaded");
    assert_eq!(reloaded["state"]["carried"], json!([]));
    session.signal(Signal::INT);
    session.end().closed(0);
    assert_eq!(fs::read_to_string(guest.mark()).unwrap(), "0");
}

#[test]
fn every_policy_is_accepted_and_carries_an_unchanged_layout_unless_it_is_off() {
    for policy in ["by-symbol", "identical", "same-size", "fits"] {
        let Some(guest) = Guest::counting() else { return };
        let mut command = program();
        command.args(["run", "--json", "--interval", "1", "--steps", "20000", "--state", policy]);
        let session = Session::spawn(command.arg(guest.library()));
        session.expect("loaded");
        guest.build("counter += 2;");
        let reloaded = session.expect("reloaded");
        assert_eq!(reloaded["state"]["bytes"], 4, "{policy}: {reloaded}");
        session.signal(Signal::INT);
        session.end().closed(0);
        let counter: u32 = fs::read_to_string(guest.mark()).unwrap().parse().unwrap();
        assert!(counter > 0, "{policy}");
    }
}

#[test]
fn a_polled_library_is_reloaded_too() {
    let Some(guest) = Guest::counting() else { return };
    let session = Session::spawn(
        program().args(["run", "--json", "--poll", "5", "--interval", "1"]).arg(guest.library()),
    );
    session.expect("loaded");
    guest.build("counter += 2;");
    assert_eq!(session.expect("reloaded")["version"], 2);
    session.signal(Signal::TERM);
    session.end().closed(0);
}

#[test]
fn a_library_that_is_not_there_yet_is_waited_for_if_that_is_wished() {
    let Some(guest) = Guest::counting() else { return };
    fs::remove_file(guest.library()).unwrap();
    let session = Session::spawn(
        program().args(["run", "--json", "--wait", "--steps", "3"]).arg(guest.library()),
    );
    let remark = session.expect_error();
    assert!(remark.contains("waiting for") && remark.contains("libguest.so"), "{remark}");
    guest.build("counter += 2;");
    assert_eq!(session.expect("loaded")["version"], 1);
    assert_eq!(session.end().closed(0)["steps"], 3);
}

#[test]
fn waiting_for_a_version_that_runs_ends_when_it_is_given_up() {
    let Some(guest) = Guest::counting() else { return };
    fs::remove_file(guest.library()).unwrap();
    let session = Session::spawn(
        program().args(["run", "--json", "--wait", "--give-up", "100"]).arg(guest.library()),
    );
    let end = session.end();
    end.closed(1);
    assert!(end.error_text().contains(guest.library().to_str().unwrap()), "{}", end.error_text());
}

#[test]
fn the_loaded_copies_are_in_the_asked_directory_and_gone_afterwards() {
    let Some(guest) = Guest::counting() else { return };
    let copies = guest.directory().join("copies");
    fs::create_dir(&copies).unwrap();
    let session = Session::spawn(
        program().args(["run", "--json", "--temp-dir"]).arg(&copies).arg(guest.library()),
    );
    session.expect("loaded");
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 1);
    session.signal(Signal::TERM);
    session.end().closed(0);
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 0);
}

#[test]
fn with_no_interval_steps_follow_each_other() {
    let Some(guest) = Guest::counting() else { return };
    let session = Session::spawn(
        program()
            .args(["run", "--json", "--interval", "0", "--steps", "100000"])
            .arg(guest.library()),
    );
    session.expect("loaded");
    assert_eq!(session.end().closed(0)["steps"], 100_000);
    assert_eq!(fs::read_to_string(guest.mark()).unwrap(), "100000");
}
