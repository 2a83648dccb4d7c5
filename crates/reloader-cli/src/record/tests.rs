use serde_json::json;

use super::*;

fn fault() -> Fault {
    Fault {
        version: 4,
        operation: "step",
        kind: "access".into(),
        value: None,
        address: Some(Address(0)),
        pc: Some(Address(0x7f00_dead_beef)),
        function: Some("advance".into()),
        file: Some("/src/guest.c".into()),
        line: Some(31),
        message: "version 4: step: invalid memory access, in advance (/src/guest.c:31)".into(),
    }
}

fn json(record: &Record) -> serde_json::Value {
    serde_json::to_value(record).unwrap()
}

#[test]
fn a_fault_has_its_place_and_its_addresses_as_hexadecimal_strings() {
    assert_eq!(
        json(&Record::Fault(fault())),
        json!({
            "event": "fault", "version": 4, "operation": "step", "kind": "access", "value": null,
            "address": "0x0", "pc": "0x7f00deadbeef", "function": "advance", "file": "/src/guest.c", "line": 31,
            "message": "version 4: step: invalid memory access, in advance (/src/guest.c:31)",
        })
    );
}

#[test]
fn facts_that_are_not_known_are_null_and_not_missing() {
    let unknown =
        Fault { address: None, pc: None, function: None, file: None, line: None, ..fault() };
    let object = json(&Record::Fault(unknown));
    for field in ["value", "address", "pc", "function", "file", "line"] {
        assert_eq!(object.get(field), Some(&serde_json::Value::Null), "{field}");
    }
    let closed = json(&Record::Closed { version: None, steps: 0 });
    assert_eq!(closed, json!({"event": "closed", "version": null, "steps": 0}));
}

#[test]
fn a_reload_reports_every_list_of_the_state() {
    let report = StateReport {
        carried: vec!["counter".into()],
        new: vec!["lives".into()],
        dropped: vec!["gone".into()],
        resized: vec![reloader::Resized { name: "name".into(), from: 8, to: 16 }],
        refused: vec![reloader::Refused { name: "hook".into(), reason: "read only".into() }],
        bytes: 12,
        translated: 2,
        untranslated: vec![reloader::Untranslated {
            at: "hook+8".into(),
            target: "draw".into(),
            version: 1,
        }],
    };
    let took = Duration::from_micros(1234);
    let event =
        Event::Reloaded { version: 2, from: 1, took, state: report, modules_verified: Some(true) };
    let record = Record::of(&event).unwrap();
    assert_eq!(
        json(&record),
        json!({
            "event": "reloaded", "version": 2, "from": 1, "micros": 1234,
            "state": {
                "carried": ["counter"], "new": ["lives"], "dropped": ["gone"],
                "resized": [{"name": "name", "from": 8, "to": 16}],
                "refused": [{"name": "hook", "reason": "read only"}],
                "bytes": 12, "translated": 2,
                "untranslated": [{"at": "hook+8", "target": "draw", "version": 1}],
            },
            "modules_verified": true,
        })
    );
    let line = record.line(&Palette::default());
    for word in ["version 1 -> 2 in 1.2 ms", "lives", "gone", "hook"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

#[test]
fn a_returned_failure_has_its_value_and_no_addresses() {
    let failure = reloader::Failure {
        version: 1,
        during: reloader::During::Load,
        cause: Cause::Returned(-5),
        place: None,
    };
    let object = json(&Record::of(&Event::Fault(failure)).unwrap());
    assert_eq!(object["kind"], "returned");
    assert_eq!(object["value"], -5);
    assert_eq!(object["operation"], "load");
    assert_eq!(object["address"], json!(null));
}

#[test]
fn a_refusal_has_its_kind_in_snake_case() {
    let refusal = reloader::Refusal {
        version: 2,
        kind: reloader::RefusalKind::KnownBad,
        reason: "it failed before".into(),
    };
    assert_eq!(
        json(&Record::of(&Event::Refused(refusal)).unwrap()),
        json!({"event": "refused", "version": 2, "kind": "known_bad", "reason": "it failed before"})
    );
}

#[test]
fn only_what_changes_the_running_version_is_a_record() {
    assert_eq!(Record::of(&Event::BeforeUnload { version: 1 }), None);
    let gone = Event::Retired { version: 1, memory: Memory::Unmapped };
    assert_eq!((Record::of(&gone), Leftover::of(&gone)), (None, None));
    let held = Event::Retired { version: 1, memory: Memory::Held };
    assert_eq!(Record::of(&held), None);
    let line = Leftover::of(&held).unwrap().line(&Palette::default());
    assert!(line.contains("version 1 stays mapped"), "{line}");
}

#[test]
fn names_of_the_library_become_snake_case() {
    for (name, snake) in [
        ("Access", "access"),
        ("StackOverflow", "stack_overflow"),
        ("CxxException", "cxx_exception"),
        ("Returned(-1)", "returned"),
        ("", ""),
    ] {
        assert_eq!(snake_case(name), snake);
    }
}

#[test]
fn a_line_has_escape_codes_only_in_colour() {
    let record = Record::RolledBack { version: 3, from: 4 };
    assert_eq!(record.line(&Palette::default()), "rolled back version 4 -> 3");
    assert!(record.line(&Palette::COLOURED).contains("\x1b["));
}
