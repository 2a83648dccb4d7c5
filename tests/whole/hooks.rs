//! What the host is told, in which order, and what it may ask the running version for.

use std::ffi::c_int;

use reloader::{Cause, During, ErrorKind, Event, FaultKind, Operation, Step};
use reloader_tests::{Bench, Build, Ledger, alone, pass};

/// As [`reloader_tests::Seen::words`], with the events that those leave out.
fn all_words(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::BeforeUnload { version } => format!("before unload {version}"),
            Event::Loaded { version, .. } => format!("loaded {version}"),
            Event::Reloaded { version, from, .. } => format!("reloaded {version} from {from}"),
            Event::Refused(refusal) => format!("refused {} {:?}", refusal.version, refusal.kind),
            Event::Fault(failure) => format!("fault {} {}", failure.version, failure.during),
            Event::RolledBack { version, from } => format!("rolled back to {version} from {from}"),
            Event::Retired { version, memory } => format!("retired {version} {memory}"),
            Event::Closed { version, steps } => format!("closed {version:?} after {steps}"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_host_is_told_everything_in_the_order_in_which_it_happens() {
    // In a process of its own, so that no other thread can be inside a version when it is retired.
    if let Some(command) =
        alone(concat!("hooks::", "the_host_is_told_everything_in_the_order_in_which_it_happens"))
    {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open_with(|builder| builder.history(1));
    assert_eq!(all_words(&seen.take()), Vec::<String>::new());
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(all_words(&seen.take()), ["loaded 1"]);

    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(all_words(&seen.take()), ["before unload 1", "reloaded 2 from 1"]);

    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(
        all_words(&seen.take()),
        ["before unload 2", "reloaded 3 from 2", "retired 1 unmapped"]
    );

    bench.put_bytes(b"this is a text, and no image by any stretch of imagination");
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(all_words(&seen.take()), ["refused 4 BadImage"]);

    bench.put(&Build::ledger(4).failing("CR_STEP", "segv"));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    assert_eq!(
        all_words(&seen.take()),
        [
            "before unload 3",
            "reloaded 4 from 3",
            "retired 2 unmapped",
            "fault 4 step",
            "rolled back to 3 from 4",
            "retired 4 unmapped"
        ]
    );
    assert_eq!(plugin.step(), Step::Ran(3));
    plugin.close();
    assert_eq!(all_words(&seen.take()), ["retired 3 unmapped", "closed Some(3) after 5"]);
}

#[test]
fn the_hook_before_an_unload_finds_the_old_version_not_told_yet() {
    let bench = Bench::with(&Build::ledger(1));
    let ledger = Ledger::new();
    let mut plugin = bench
        .builder()
        .on_event(move |event| match event {
            Event::BeforeUnload { .. } => assert_eq!(ledger.calls(Operation::Unload), 0),
            Event::Reloaded { .. } => {
                assert_eq!(ledger.calls(Operation::Unload), 1);
                assert_eq!(ledger.calls(Operation::Load), 2);
            }
            _ => {}
        })
        .open()
        .unwrap();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
}

#[test]
fn a_hook_that_panics_leaves_the_plugin_whole() {
    let bench = Bench::with(&Build::ledger(1));
    let ledger = Ledger::new();
    let mut plugin = bench
        .builder()
        .on_event(|event| {
            assert!(!matches!(event, Event::Reloaded { version: 2, .. }), "the hook's own mistake");
        })
        .open()
        .unwrap();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| plugin.step()));
    assert!(stepped.is_err());
    assert_eq!(plugin.step(), Step::Ran(2));
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(ledger.calls(Operation::Load), 3);
    assert_eq!(ledger.calls(Operation::Unload), 2);
    assert_eq!(ledger.count(), 3);
}

#[test]
fn a_fault_comes_with_its_version_its_operation_and_its_place() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_STEP", "segv"));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    let failure = seen
        .take()
        .into_iter()
        .find_map(|event| match event {
            Event::Fault(failure) => Some(failure),
            _ => None,
        })
        .unwrap();
    assert_eq!((failure.version, failure.during), (2, During::Step));
    let Cause::Fault(fault) = &failure.cause else { panic!("{failure}") };
    assert_eq!((fault.kind, fault.address), (FaultKind::Access, Some(8)));
    let place = failure.place.as_ref().unwrap();
    assert_eq!(place.function.as_deref(), Some("segv"), "{failure}");
    assert!(place.file.as_ref().is_some_and(|file| file.ends_with("faults.h")), "{failure}");
    let faults = include_str!("../guests/faults.h");
    let line = 1 + faults.lines().position(|line| line.starts_with("WAY segv")).unwrap();
    assert_eq!(place.line, Some(u32::try_from(line).unwrap()), "{failure}");
}

#[test]
fn a_fault_in_a_library_that_the_guest_called_has_the_place_of_the_call() {
    let bench = Bench::with(&Build::ledger(1).failing("CR_STEP", "call_abort"));
    let (mut plugin, seen) = bench.open();
    assert!(matches!(plugin.step(), Step::Failed(_)));
    let failure = seen
        .take()
        .into_iter()
        .find_map(|event| match event {
            Event::Fault(failure) => Some(failure),
            _ => None,
        })
        .unwrap();
    let place = failure.place.as_ref().unwrap();
    assert_eq!(place.function.as_deref(), Some("call_abort"), "{failure}");
}

#[test]
#[allow(unsafe_code, reason = "a symbol has the type that the test says")]
fn a_symbol_is_that_of_the_running_version() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    type Count = extern "C" fn() -> c_int;
    // SAFETY: what the guest exports under this name is such a function.
    let count = |plugin: &reloader::Plugin| unsafe {
        plugin.symbol::<Count>("ledger_count").map(|symbol| (symbol.version(), symbol()))
    };
    assert_eq!(count(&plugin).unwrap_err().kind(), ErrorKind::NoVersion);
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(count(&plugin).unwrap(), (1, 1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(count(&plugin).unwrap(), (2, 2));
    // SAFETY: there is no such symbol.
    let missing = unsafe { plugin.symbol::<Count>("no_such_name").map(|symbol| symbol.version()) };
    let error = missing.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSymbol);
    assert!(error.to_string().contains("no_such_name"), "{error}");
    bench.put(&Build::ledger(3).failing("CR_STEP", "segv"));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    // Version 2 comes back with the next step; until then nothing runs.
    assert_eq!(count(&plugin).unwrap_err().kind(), ErrorKind::NoVersion);
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(count(&plugin).unwrap(), (2, 3));
}
