use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::guest::Guest;
use crate::session::Session;

fn run(guest: &Guest, more: &[&str]) -> Session {
    let library = guest.library();
    let arguments =
        ["run", "--json", "--interval", "1"].iter().copied().chain(more.iter().copied());
    Session::start(arguments.map(Into::into).chain([library.into_os_string()]))
}

#[test]
fn a_run_of_some_steps_is_loaded_and_closed_and_counts_them() {
    let Some(guest) = Guest::counting() else { return };
    let session = run(&guest, &["--steps", "5"]);
    let loaded = session.expect("loaded");
    assert_eq!(loaded["version"], 1);
    assert!(loaded["micros"].is_u64(), "{loaded}");
    assert_eq!(loaded["modules_verified"], true);
    let end = session.end();
    assert_eq!(end.closed(0), json!({"event": "closed", "version": 1, "steps": 5}));
    assert_eq!(end.events().len(), 1);
    assert_eq!(fs::read_to_string(guest.mark()).unwrap(), "5");
}

#[test]
fn a_rebuilt_library_takes_over_with_its_variables() {
    let Some(guest) = Guest::counting() else { return };
    let session = run(&guest, &[]);
    session.expect("loaded");
    guest.build("counter += 2; static int CR_STATE lives = 3; lives -= 1;");
    let reloaded = session.expect("reloaded");
    assert_eq!((&reloaded["version"], &reloaded["from"]), (&json!(2), &json!(1)));
    assert!(reloaded["micros"].is_u64(), "{reloaded}");
    assert_eq!(reloaded["modules_verified"], true);
    let state = &reloaded["state"];
    assert_eq!(state["carried"], json!(["counter"]), "{state}");
    let new = state["new"].as_array().unwrap();
    assert!(new.iter().any(|name| name.as_str().unwrap().ends_with("lives")), "{state}");
    assert_eq!(state["bytes"], 4, "{state}");
    for list in ["dropped", "resized", "refused", "untranslated"] {
        assert_eq!(state[list], json!([]), "{state}");
    }
    assert_eq!(state["translated"], 0, "{state}");
    session.signal(Signal::INT);
    assert_eq!(session.end().closed(0)["version"], 2);
}

#[test]
fn a_crash_is_found_in_its_line_and_the_version_before_runs_again() {
    let Some(guest) = Guest::counting() else { return };
    let session = run(&guest, &[]);
    session.expect("loaded");
    guest.build("counter = -1;\n    *(volatile int *)0 = counter;");
    session.expect("reloaded");
    let fault = session.expect("fault");
    for (field, value) in [
        ("version", json!(2)),
        ("operation", json!("step")),
        ("kind", json!("access")),
        ("value", Value::Null),
        ("address", json!("0x0")),
        ("function", json!("step")),
        ("file", json!(guest.source_file())),
        ("line", json!(guest.line_of("*(volatile int *)0"))),
    ] {
        assert_eq!(fault[field], value, "{field} of {fault}");
    }
    assert!(fault["pc"].as_str().unwrap().starts_with("0x"), "{fault}");
    assert!(fault["message"].as_str().unwrap().contains("guest.c"), "{fault}");
    let rolled_back = session.expect("rolled_back");
    assert_eq!(rolled_back, json!({"event": "rolled_back", "version": 1, "from": 2}));

    guest.build("counter += 5;");
    let reloaded = session.expect("reloaded");
    assert_eq!((&reloaded["version"], &reloaded["from"]), (&json!(3), &json!(1)));
    session.signal(Signal::INT);
    session.end().closed(0);
    let counter: i32 = fs::read_to_string(guest.mark()).unwrap().parse().unwrap();
    assert!(counter > 0, "the broken version's -1 did not come back: {counter}");
}

#[test]
fn a_negative_number_that_the_library_returns_is_a_fault_with_its_value() {
    let Some(guest) = Guest::counting() else { return };
    let session = run(&guest, &[]);
    session.expect("loaded");
    guest.build("return -7;");
    session.expect("reloaded");
    let fault = session.expect("fault");
    assert_eq!(fault["kind"], "returned");
    assert_eq!(fault["value"], -7);
    for field in ["address", "pc", "function", "file", "line"] {
        assert_eq!(fault.get(field), Some(&Value::Null), "{field} of {fault}");
    }
    assert_eq!(session.expect("rolled_back")["version"], 1);
    session.signal(Signal::TERM);
    session.end().closed(0);
}

#[test]
fn something_that_is_no_library_is_refused_while_the_last_version_runs_on() {
    let Some(guest) = Guest::counting() else { return };
    let session = run(&guest, &[]);
    session.expect("loaded");
    guest.spoil();
    let refused = session.expect("refused");
    assert_eq!(refused["version"], 2);
    assert_eq!(refused["kind"], "bad_image");
    assert!(!refused["reason"].as_str().unwrap().is_empty());
    session.signal(Signal::INT);
    assert_eq!(session.end().closed(0)["version"], 1);
}

#[test]
fn what_the_library_prints_is_not_among_the_objects() {
    let Some(guest) = Guest::with_step(r#"counter += 1; puts("hello"); fflush(stdout);"#) else {
        return;
    };
    let end = run(&guest, &["--steps", "3"]).end();
    end.closed(0);
    assert_eq!(end.events().len(), 2);
    assert_eq!(end.errors, ["hello"; 3]);
}

#[test]
fn without_json_the_lines_are_for_readers_and_the_library_prints_among_them() {
    let Some(guest) = Guest::with_step(r#"counter += 1; puts("hello"); fflush(stdout);"#) else {
        return;
    };
    let library = guest.library();
    let end =
        Session::start(["run".as_ref(), "--steps".as_ref(), "2".as_ref(), library.as_os_str()])
            .end();
    assert!(end.status.success(), "{}", end.error_text());
    let [loaded, one, two, closed] = &end.output[..] else { panic!("{:?}", end.output) };
    assert!(loaded.starts_with("loaded      version 1 in "), "{loaded}");
    assert_eq!([one, two], ["hello"; 2]);
    assert_eq!(closed, "closed      version 1 after 2 steps");
}
