//! A guest fails, in every operation and in every way: the host lives, what worked before runs on
//! with its state, and the mended build is picked up.

use std::time::Duration;

use reloader::{
    Cause, During, ErrorKind, Event, Failure, FailureCode, FaultKind, Operation, RefusalKind, Step,
};
use reloader_tests::{Bench, Build, Ledger, Seen, alone, pass};

/// The failures among what was seen.
fn failures(seen: &Seen) -> Vec<Failure> {
    let failures = seen.take().into_iter().filter_map(|event| match event {
        Event::Fault(failure) => Some(failure),
        _ => None,
    });
    failures.collect()
}

fn kind(failure: &Failure) -> FaultKind {
    match &failure.cause {
        Cause::Fault(fault) => fault.kind,
        other => panic!("{other:?}"),
    }
}

/// A way to fail, what it is, and how the contract numbers it.
type Way = (&'static str, &'static [FaultKind], FailureCode);

const WAYS: &[Way] = &[
    ("segv", &[FaultKind::Access], FailureCode::SEGFAULT),
    ("execute_nothing", &[FaultKind::Access], FailureCode::SEGFAULT),
    ("bus", &[FaultKind::Bus], FailureCode::MISALIGN),
    ("ill", &[FaultKind::Illegal], FailureCode::ILLEGAL),
    ("trap", &[FaultKind::Trap], FailureCode(10 + libc::SIGTRAP)),
    ("bad_system_call", &[FaultKind::Raised], FailureCode(10 + libc::SIGSYS)),
    ("call_abort", &[FaultKind::Abort], FailureCode::ABORT),
    ("failed_assertion", &[FaultKind::Abort], FailureCode::ABORT),
    ("free_twice", &[FaultKind::Abort], FailureCode::ABORT),
    ("overflow_the_stack", &[FaultKind::StackOverflow], FailureCode::STACKOVERFLOW),
    #[cfg(target_arch = "x86_64")]
    ("divide", &[FaultKind::IntegerDivide], FailureCode(10 + libc::SIGFPE)),
];

const CXX_WAYS: &[Way] = &[
    ("throw_an_exception", &[FaultKind::CxxException], FailureCode::ABORT),
    ("call_terminate", &[FaultKind::Abort], FailureCode::ABORT),
];

/// Makes the build of a number, in one language.
type Make = fn(i32) -> Build;

/// Every way to fail, with the maker of builds of its language.
fn ways() -> impl Iterator<Item = (Way, Make)> {
    let c = WAYS.iter().map(|&way| (way, Build::ledger as Make));
    let cxx = CXX_WAYS.iter().map(|&way| (way, Build::ledger_cxx as Make));
    c.chain(cxx)
}

#[test]
fn a_step_that_fails_in_any_way_goes_back_to_the_version_before() {
    for ((way, kinds, code), build) in ways() {
        println!("{way}");
        let bench = Bench::with(&build(1));
        let (mut plugin, seen) = bench.open();
        let ledger = Ledger::new();
        ledger.give_to(&mut plugin);
        assert_eq!(plugin.step(), Step::Ran(1));
        assert_eq!(plugin.step(), Step::Ran(1));

        bench.put(&build(2).failing("CR_STEP", way));
        assert_eq!(plugin.step(), Step::Failed(code), "{way}");
        let told = failures(&seen);
        let [failure] = &told[..] else { panic!("{way}: {told:?}") };
        assert_eq!((failure.version, failure.during), (2, During::Step), "{way}");
        assert!(kinds.contains(&kind(failure)), "{way}: {failure}");
        let thrown = kind(failure) == FaultKind::CxxException;
        assert!(failure.place.is_some() || thrown, "{way}: {failure}");
        // The failed step counted up in version 2's memory; version 1's state is that of its
        // unload.
        assert_eq!(ledger.count(), 3);

        assert_eq!(plugin.step(), Step::Ran(1), "{way}");
        assert_eq!((ledger.count(), ledger.plain(), ledger.bss()), (3, 503, 3), "{way}");
        assert_eq!(ledger.version(), 1);
        bench.put(&build(3));
        assert_eq!(plugin.step(), Step::Ran(3), "{way}");
        assert_eq!((plugin.version(), ledger.count()), (Some(3), 4), "{way}");
        plugin.close();
        assert_eq!(bench.copies(), Vec::<std::path::PathBuf>::new(), "{way}");
    }
}

#[test]
fn an_exception_has_the_place_that_it_was_thrown_from() {
    let bench = Bench::with(&Build::ledger_cxx(1).failing("CR_STEP", "throw_an_exception"));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Failed(FailureCode::ABORT));
    let told = failures(&seen);
    let [failure] = &told[..] else { panic!("{told:?}") };
    assert!(failure.to_string().contains("runtime_error"), "{failure}");
    assert!(failure.place.is_some(), "{failure}");
}

#[test]
fn a_first_version_that_fails_in_any_way_waits_for_a_mended_build() {
    for ((way, kinds, code), build) in ways() {
        for operation in ["CR_LOAD", "CR_STEP"] {
            let bench = Bench::with(&build(1).failing(operation, way));
            let (mut plugin, seen) = bench.open();
            assert_eq!(plugin.step(), Step::Failed(code), "{way} in {operation}");
            let told = failures(&seen);
            let [failure] = &told[..] else { panic!("{way} in {operation}: {told:?}") };
            assert!(kinds.contains(&kind(failure)), "{way} in {operation}: {failure}");
            assert_eq!(plugin.step(), Step::Idle, "{way} in {operation}");
            assert_eq!(plugin.version(), None);
            bench.put(&build(2));
            assert_eq!(plugin.step(), Step::Ran(2), "{way} in {operation}");
        }
    }
}

/// One operation of version 2 fails: which version runs afterwards, and with which state.
#[test]
fn a_load_that_fails_goes_back_to_the_version_before() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_LOAD", "segv"));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(seen.words(), ["loaded 1", "fault 2 load", "rolled back to 1 from 2"]);
    assert_eq!(plugin.version(), Some(1));
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!((ledger.count(), ledger.plain()), (2, 502));
    // Loaded, the failing load, loaded again.
    assert_eq!(ledger.calls(Operation::Load), 3);
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(ledger.count(), 3);
}

#[test]
fn the_version_that_comes_back_is_told_why() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_STEP", "segv"));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(plugin.context().failure, FailureCode::SEGFAULT);
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(ledger.failure_at_load(), FailureCode::SEGFAULT.0);
    assert_eq!(plugin.context().failure, FailureCode::NONE);
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(ledger.failure_at_load(), FailureCode::NONE.0);
}

#[test]
fn a_load_that_fails_and_another_that_fails_when_it_comes_back_leave_what_worked_before_both() {
    // Version 2 works at first and fails when it is loaded for the second time.
    let again = r#"
#include "reloader_guest.h"
static int CR_STATE loads = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    static int here = 0;
    (void)ctx; (void)loads;
    if (operation == CR_LOAD && ++here == 2) *(volatile int *)8 = 1;
    return 20;
}
"#;
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::c(again));
    assert_eq!(plugin.step(), Step::Ran(20));
    bench.put(&Build::ledger(3).failing("CR_LOAD", "call_abort"));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::ABORT));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(
        seen.words(),
        [
            "loaded 1",
            "reloaded 2 from 1",
            "fault 3 load",
            "rolled back to 2 from 3",
            "fault 2 load",
            "rolled back to 1 from 2"
        ]
    );
    assert_eq!(ledger.count(), 2);
    bench.put(&Build::ledger(4));
    assert_eq!(plugin.step(), Step::Ran(4));
    assert_eq!(ledger.count(), 3);
}

#[test]
fn a_version_that_comes_back_and_fails_too_leaves_the_mended_build_its_chance() {
    let twice = r#"
#include "reloader_guest.h"
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    static int here = 0;
    (void)ctx;
    if (operation == CR_LOAD && ++here == 2) *(volatile int *)8 = 1;
    return 10;
}
"#;
    let bench = Bench::with(&Build::c(twice));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(10));
    bench.put(&Build::ledger(2).failing("CR_LOAD", "segv"));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(plugin.step(), Step::Idle);
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
}

#[test]
fn an_unload_that_fails_lets_the_new_build_take_over_with_the_state() {
    for (first, words) in [
        (Build::ledger(1).failing("CR_UNLOAD", "segv"), "fault 1 unload"),
        (Build::ledger(1).failing("CR_UNLOAD", "call_abort"), "fault 1 unload"),
        (Build::ledger(1).returning("CR_UNLOAD", -3), "fault 1 unload"),
    ] {
        let bench = Bench::with(&first);
        let (mut plugin, seen) = bench.open();
        let ledger = Ledger::new();
        ledger.give_to(&mut plugin);
        assert_eq!(plugin.step(), Step::Ran(1));
        assert_eq!(plugin.step(), Step::Ran(1));
        bench.put(&Build::ledger(2));
        assert_eq!(plugin.step(), Step::Ran(2));
        assert_eq!(seen.words(), ["loaded 1", words, "reloaded 2 from 1"]);
        assert_eq!((ledger.count(), ledger.plain(), ledger.bss()), (3, 501, 1));
        // What failed is nothing to go back to.
        assert_eq!(plugin.history(), Vec::<u32>::new());
        bench.put(&Build::ledger(3));
        assert_eq!(plugin.step(), Step::Ran(3));
        assert_eq!(ledger.count(), 4);
    }
}

#[test]
fn an_unload_of_a_later_version_that_fails_loses_neither_the_new_build_nor_the_state() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_UNLOAD", "ill"));
    assert_eq!(plugin.step(), Step::Ran(2));
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(
        seen.words(),
        ["loaded 1", "reloaded 2 from 1", "fault 2 unload", "reloaded 3 from 2"]
    );
    assert_eq!(ledger.count(), 3);
    assert_eq!(plugin.history(), [1]);
    // Version 2 is gone, so that version 3 goes back to version 1, with the state of its unload.
    bench.put(&Build::ledger(4).failing("CR_STEP", "segv"));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    assert_eq!(plugin.step(), Step::Ran(3));
    plugin.roll_back_to(1).unwrap();
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(ledger.count(), 2);
}

#[test]
fn a_close_that_fails_is_told_and_leaves_nothing() {
    for (build, code) in [
        (Build::ledger(1).failing("CR_CLOSE", "segv"), FailureCode::SEGFAULT),
        (Build::ledger(1).failing("CR_CLOSE", "call_abort"), FailureCode::ABORT),
        (Build::ledger(1).returning("CR_CLOSE", -9), FailureCode::USER),
        (Build::ledger_cxx(1).failing("CR_CLOSE", "throw_an_exception"), FailureCode::ABORT),
    ] {
        let bench = Bench::with(&build);
        let (mut plugin, seen) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(1));
        seen.forget();
        plugin.close();
        let events = seen.take();
        let failure = events.iter().find_map(|event| match event {
            Event::Fault(failure) => Some(failure),
            _ => None,
        });
        let failure = failure.unwrap();
        assert_eq!((failure.version, failure.during), (1, During::Close));
        assert_eq!(failure.code(), code);
        assert!(matches!(events.last(), Some(Event::Closed { version: Some(1), steps: 1 })));
        assert_eq!(bench.copies(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_constructor_that_fails_leaves_the_running_version_untouched() {
    let attribute = "\n__attribute__((constructor)) static void early(void) { segv(); }\n";
    let global = "\nstruct Early { Early() { call_abort(); } };\nstatic Early early;\n";
    let thrown = "\nstruct Early { Early() { throw_an_exception(); } };\nstatic Early early;\n";
    let (c, cxx): (Make, Make) = (Build::ledger, Build::ledger_cxx);
    for (of, text, wanted) in [
        (c, attribute, FaultKind::Access),
        (cxx, attribute, FaultKind::Access),
        (cxx, global, FaultKind::Abort),
        (cxx, thrown, FaultKind::CxxException),
    ] {
        let build = of(2).more(text);
        let bench = Bench::with(&of(1));
        let (mut plugin, seen) = bench.open();
        let ledger = Ledger::new();
        ledger.give_to(&mut plugin);
        assert_eq!(plugin.step(), Step::Ran(1));
        bench.put(&build);
        assert_eq!(plugin.step(), Step::Ran(1));
        let told = failures(&seen);
        let [failure] = &told[..] else { panic!("{told:?}") };
        assert_eq!((failure.version, failure.during), (2, During::Constructor));
        assert_eq!(kind(failure), wanted, "{failure}");
        assert!(failure.place.is_some() || wanted == FaultKind::CxxException, "{failure}");
        assert_eq!((ledger.count(), ledger.plain()), (2, 502));
        assert_eq!((ledger.calls(Operation::Unload), ledger.calls(Operation::Load)), (0, 1));
        // Other threads and libraries can still be had: nothing of the loader is left locked.
        std::thread::spawn(|| {}).join().unwrap();
        bench.put(&of(3));
        assert_eq!(plugin.step(), Step::Ran(3));
        assert_eq!(ledger.count(), 3);
        assert_eq!(plugin.version(), Some(3));

        // The same as the very first build.
        let bench = Bench::with(&build);
        let (mut plugin, _) = bench.open();
        assert!(matches!(plugin.step(), Step::Failed(_)));
        assert_eq!(plugin.step(), Step::Idle);
        bench.put(&Build::ledger(3));
        assert_eq!(plugin.step(), Step::Ran(3));
    }
}

#[test]
fn a_destructor_that_fails_is_told_and_the_version_goes_all_the_same() {
    // Alone: a thread of another test could seem to be inside the version, which then stays.
    if let Some(command) =
        alone("crashes::a_destructor_that_fails_is_told_and_the_version_goes_all_the_same")
    {
        pass(command);
        return;
    }
    let attribute = "\n__attribute__((destructor)) static void late(void) { segv(); }\n";
    let global = "\nstruct Late { ~Late() { call_abort(); } };\nstatic Late late;\n";
    let thrown =
        "\nstruct Late { ~Late() noexcept(false) { throw_an_exception(); } };\nstatic Late late;\n";
    let (c, cxx): (Make, Make) = (Build::ledger, Build::ledger_cxx);
    for (of, text, wanted) in [
        (c, attribute, FaultKind::Access),
        (cxx, attribute, FaultKind::Access),
        (cxx, global, FaultKind::Abort),
        (cxx, thrown, FaultKind::CxxException),
    ] {
        let build = of(1).more(text);
        // When the version is evicted …
        let bench = Bench::with(&build);
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        let ledger = Ledger::new();
        ledger.give_to(&mut plugin);
        assert_eq!(plugin.step(), Step::Ran(1));
        bench.put(&of(2));
        assert_eq!(plugin.step(), Step::Ran(2));
        let told = failures(&seen);
        let [failure] = &told[..] else { panic!("{told:?}") };
        assert_eq!((failure.version, failure.during), (1, During::Destructor));
        assert_eq!(kind(failure), wanted, "{failure}");
        assert_eq!(ledger.count(), 2);
        std::thread::spawn(|| {}).join().unwrap();
        bench.put(&of(3));
        assert_eq!(plugin.step(), Step::Ran(3));
        assert_eq!(ledger.count(), 3);

        // … and when the plugin is closed.
        let bench = Bench::with(&build);
        let (mut plugin, seen) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(1));
        plugin.close();
        let told = failures(&seen);
        let [failure] = &told[..] else { panic!("{told:?}") };
        assert_eq!((failure.version, failure.during), (1, During::Destructor));
        assert_eq!(bench.copies(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn the_destructors_of_a_version_that_failed_are_not_run() {
    // Alone: a thread of another test could seem to be inside the version, which then stays.
    if let Some(command) = alone("crashes::the_destructors_of_a_version_that_failed_are_not_run") {
        pass(command);
        return;
    }
    let with_destructors = Build::ledger_cxx(2).failing("CR_STEP", "segv").more(
        "
struct Late { ~Late() { segv(); } };
static Late late;
__attribute__((destructor)) static void later(void) { segv(); }
",
    );
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&with_destructors);
    assert!(matches!(plugin.step(), Step::Failed(_)));
    assert_eq!(plugin.step(), Step::Ran(1));
    plugin.close();
    assert_eq!(
        seen.words(),
        ["loaded 1", "reloaded 2 from 1", "fault 2 step", "rolled back to 1 from 2", "closed"]
    );
}

#[test]
fn a_negative_number_from_a_step_goes_back_to_the_version_before() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).returning("CR_STEP", -5));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::USER));
    let told = failures(&seen);
    let [failure] = &told[..] else { panic!("{told:?}") };
    assert!(matches!(failure.cause, Cause::Returned(-5)), "{failure}");
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(ledger.count(), 2);
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
}

#[test]
fn a_negative_number_from_a_load_goes_back_to_the_version_before() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).returning("CR_LOAD", -1));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::USER));
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(seen.words(), ["loaded 1", "fault 2 load", "rolled back to 1 from 2"]);
    assert_eq!(ledger.count(), 2);
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(ledger.count(), 3);
}

#[test]
fn two_builds_in_a_row_that_fail_go_back_to_the_same_version() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    for build in [2, 3] {
        bench.put(&Build::ledger(build).failing("CR_STEP", "segv"));
        assert!(matches!(plugin.step(), Step::Failed(_)));
    }
    // The second was there before the first version ran again.
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(ledger.count(), 2);
    assert_eq!(
        seen.words(),
        [
            "loaded 1",
            "reloaded 2 from 1",
            "fault 2 step",
            "rolled back to 1 from 2",
            "reloaded 3 from 1",
            "fault 3 step",
            "rolled back to 1 from 3"
        ]
    );
    bench.put(&Build::ledger(4));
    assert_eq!(plugin.step(), Step::Ran(4));
    assert_eq!(ledger.count(), 3);
}

#[test]
fn good_versions_that_crash_later_are_left_one_after_the_other() {
    // Each crashes when the host says so, through its exported switch.
    let build = |number: i32| {
        Build::c(format!(
            r#"
#include "reloader_guest.h"
static int CR_STATE count = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    if (operation == CR_STEP) {{
        count++;
        if (*(volatile int *)ctx->userdata) *(volatile int *)8 = 1;
    }}
    return {number} * 100 + count;
}}
"#
        ))
    };
    let crash: &'static std::sync::atomic::AtomicI32 = Box::leak(Box::default());
    let order = std::sync::atomic::Ordering::Relaxed;
    let bench = Bench::with(&build(1));
    let (mut plugin, _) = bench.open();
    plugin.set_userdata(std::ptr::from_ref(crash).cast_mut().cast());
    assert_eq!(plugin.step(), Step::Ran(101));
    for (number, result) in [(2, 202), (3, 303), (4, 404)] {
        bench.put(&build(number));
        assert_eq!(plugin.step(), Step::Ran(result));
    }
    assert_eq!(plugin.history(), [1, 2, 3]);
    for result in [304, 203, 102] {
        crash.store(1, order);
        assert!(matches!(plugin.step(), Step::Failed(_)));
        crash.store(0, order);
        assert_eq!(plugin.step(), Step::Ran(result));
    }
    crash.store(1, order);
    assert!(matches!(plugin.step(), Step::Failed(_)));
    crash.store(0, order);
    assert_eq!(plugin.step(), Step::Idle);
    bench.put(&build(5));
    assert_eq!(plugin.step(), Step::Ran(501));
}

#[test]
fn builds_that_were_refused_are_no_part_of_the_history() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put_bytes(b"a text in place of the second build");
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    bench.put(&Build::ledger(4).failing("CR_STEP", "segv"));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(plugin.history(), [1]);
    plugin.roll_back_to(1).unwrap();
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(ledger.count(), 3);
}

#[test]
fn an_endless_loop_ends_with_the_deadline() {
    for way in ["loop_for_ever", "sleep_for_ever"] {
        for operation in ["CR_STEP", "CR_LOAD"] {
            let bench = Bench::with(&Build::ledger(1));
            let (mut plugin, seen) =
                bench.open_with(|builder| builder.deadline(Duration::from_millis(300)));
            let ledger = Ledger::new();
            ledger.give_to(&mut plugin);
            assert_eq!(plugin.step(), Step::Ran(1));
            bench.put(&Build::ledger(2).failing(operation, way));
            assert!(matches!(plugin.step(), Step::Failed(_)), "{way}");
            let told = failures(&seen);
            let [failure] = &told[..] else { panic!("{told:?}") };
            assert_eq!(kind(failure), FaultKind::Deadline);
            assert_eq!(plugin.step(), Step::Ran(1), "{way}");
            assert_eq!(ledger.count(), 2);
            bench.put(&Build::ledger(3));
            assert_eq!(plugin.step(), Step::Ran(3), "{way}");
        }
    }
}

#[test]
fn an_endless_loop_ends_with_the_deadline_in_every_other_operation_too() {
    let open = |bench: &Bench| {
        bench.open_with(|builder| builder.deadline(Duration::from_millis(200)).history(0))
    };
    let told_of = |seen: &Seen| -> Vec<(u32, During, FaultKind)> {
        let told = failures(seen);
        told.iter().map(|failure| (failure.version, failure.during, kind(failure))).collect()
    };

    let bench = Bench::with(&Build::ledger(1).failing("CR_UNLOAD", "loop_for_ever"));
    let (mut plugin, seen) = open(&bench);
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_CLOSE", "loop_for_ever"));
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(ledger.count(), 2);
    assert_eq!(told_of(&seen), [(1, During::Unload, FaultKind::Deadline)]);

    let early = "\n__attribute__((constructor)) static void early(void) { loop_for_ever(); }\n";
    bench.put(&Build::ledger(3).more(early));
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(told_of(&seen), [(3, During::Constructor, FaultKind::Deadline)]);
    plugin.close();
    assert_eq!(told_of(&seen), [(2, During::Close, FaultKind::Deadline)]);
    assert_eq!(bench.copies(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_endless_destructor_ends_with_the_deadline() {
    // Alone: a thread of another test could seem to be inside the version, which then stays.
    if let Some(command) = alone("crashes::an_endless_destructor_ends_with_the_deadline") {
        pass(command);
        return;
    }
    let late = "\n__attribute__((destructor)) static void late(void) { loop_for_ever(); }\n";
    let bench = Bench::with(&Build::ledger(1).more(late));
    let (mut plugin, seen) =
        bench.open_with(|builder| builder.deadline(Duration::from_millis(200)).history(0));
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    let told = failures(&seen);
    let [failure] = &told[..] else { panic!("{told:?}") };
    assert_eq!((failure.version, failure.during), (1, During::Destructor));
    assert_eq!(kind(failure), FaultKind::Deadline);
}

#[test]
fn the_history_is_as_long_as_was_asked() {
    for (depth, wanted) in [(0, vec![]), (1, vec![4]), (2, vec![3, 4]), (9, vec![1, 2, 3, 4])] {
        let bench = Bench::with(&Build::ledger(1));
        let (mut plugin, _) = bench.open_with(|builder| builder.history(depth));
        for number in 1..=5 {
            bench.put(&Build::ledger(number));
            assert_eq!(plugin.step(), Step::Ran(number));
        }
        assert_eq!(plugin.history(), wanted);
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    for number in 1..=5 {
        bench.put(&Build::ledger(number));
        assert_eq!(plugin.step(), Step::Ran(number));
    }
    assert_eq!(plugin.history(), [2, 3, 4]);
}

#[test]
fn the_host_goes_back_to_any_version_of_the_history_and_forward_again() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    for number in 1..=3 {
        bench.put(&Build::ledger(number));
        assert_eq!(plugin.step(), Step::Ran(number));
        assert_eq!(plugin.step(), Step::Ran(number));
    }
    assert_eq!(ledger.count(), 6);
    seen.forget();
    plugin.roll_back_to(1).unwrap();
    assert_eq!(seen.words(), ["rolled back to 1 from 3"]);
    assert_eq!(plugin.version(), Some(1));
    assert_eq!(plugin.history(), [2, 3]);
    assert_eq!(plugin.step(), Step::Ran(1));
    // As it was left.
    assert_eq!((ledger.count(), ledger.plain()), (3, 503));

    let error = plugin.roll_back_to(7).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoVersion);
    assert!(error.to_string().contains("no version 7"), "{error}");
    let error = plugin.roll_back_to(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoVersion, "the running one is not in the history");
    assert_eq!(plugin.step(), Step::Ran(1));

    plugin.roll_back_to(3).unwrap();
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!((ledger.count(), ledger.plain()), (7, 503));
    plugin.roll_back_to(2).unwrap();
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!((ledger.count(), ledger.plain()), (5, 503));
    // The next build gets the next number and the state of the one that runs.
    bench.put(&Build::ledger(4));
    assert_eq!(plugin.step(), Step::Ran(4));
    assert_eq!((plugin.version(), ledger.count()), (Some(4), 6));
}

#[test]
fn a_rollback_that_fails_says_so_and_what_worked_last_runs_on() {
    let again = r#"
#include "reloader_guest.h"
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    static int here = 0;
    (void)ctx;
    if (operation == CR_LOAD && ++here == 2) *(volatile int *)8 = 1;
    return 10;
}
"#;
    let bench = Bench::with(&Build::c(again));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(10));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    let error = plugin.roll_back_to(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RollbackFailed);
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(plugin.history(), Vec::<u32>::new());
}

#[test]
fn a_build_that_failed_is_loaded_again_only_when_its_bytes_change() {
    for (operation, first) in [("CR_STEP", true), ("CR_STEP", false), ("CR_LOAD", false)] {
        let bad = Build::ledger(2).failing(operation, "segv");
        let bench = Bench::with(&if first { bad.clone() } else { Build::ledger(1) });
        let (mut plugin, seen) = bench.open();
        if !first {
            assert_eq!(plugin.step(), Step::Ran(1));
            bench.put(&bad);
        }
        assert!(matches!(plugin.step(), Step::Failed(_)));
        let wanted = if first { Step::Idle } else { Step::Ran(1) };
        assert_eq!(plugin.step(), wanted);
        seen.forget();
        // Put there again with the same bytes.
        bench.put(&bad);
        assert_eq!(plugin.step(), wanted);
        let events = seen.take();
        let [Event::Refused(refusal)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(refusal.kind, RefusalKind::KnownBad);
        assert_eq!(plugin.step(), wanted);
        assert!(seen.take().is_empty());
        bench.put(&Build::ledger(3));
        assert_eq!(plugin.step(), Step::Ran(3));
    }
}

#[test]
fn a_constructor_that_failed_is_known_too() {
    let bad = Build::ledger(2)
        .more("\n__attribute__((constructor)) static void early(void) { segv(); }\n");
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&bad);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&bad);
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(seen.words(), ["loaded 1", "fault 2 constructor", "refused 3 KnownBad"]);
}

#[test]
fn a_build_that_failed_is_tried_again_where_the_host_wants_it() {
    let bad = Build::ledger(2).failing("CR_STEP", "segv");
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open_with(|builder| builder.retry_known_bad(true));
    assert_eq!(plugin.step(), Step::Ran(1));
    for _ in 0..3 {
        bench.put(&bad);
        assert!(matches!(plugin.step(), Step::Failed(_)));
        assert_eq!(plugin.step(), Step::Ran(1));
    }
    let words = seen.words();
    assert_eq!(words.iter().filter(|word| word.starts_with("fault")).count(), 3, "{words:?}");
}

#[test]
fn a_library_whose_constructor_fails_inside_the_loader_costs_nothing_but_the_build() {
    // The loader itself runs the constructors of dependencies, and is abandoned in the middle.
    if let Some(command) = alone(
        "crashes::a_library_whose_constructor_fails_inside_the_loader_costs_nothing_but_the_build",
    ) {
        pass(command);
        return;
    }
    let library = Build::c(
        r#"
__attribute__((constructor)) static void early(void) { *(volatile int *)8 = 1; }
int helper(void) { return 1; }
"#,
    )
    .flag("-Wl,-soname,libhelper.so");
    let bench = Bench::with(&Build::ledger(1));
    std::fs::copy(library.path(), bench.directory().join("libhelper.so")).unwrap();
    let guest = Build::ledger(2)
        .more("\nextern int helper(void);\nint (*volatile uses)(void) = helper;\n")
        .flag("-Wl,-rpath,$ORIGIN")
        .library(&library.path());
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&guest);
    assert_eq!(plugin.step(), Step::Ran(1));
    let events = seen.take();
    let fault = events.iter().find_map(|event| match event {
        Event::Fault(failure) => Some(failure),
        _ => None,
    });
    assert_eq!(fault.map(|failure| (failure.version, failure.during)), Some((2, During::Open)));
    std::thread::spawn(|| {}).join().unwrap();
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(ledger.count(), 3);
    assert_eq!(ledger.calls(Operation::Unload), 1);
}

#[test]
fn a_resolver_that_fails_inside_the_loader_costs_nothing_but_the_build() {
    if let Some(command) =
        alone("crashes::a_resolver_that_fails_inside_the_loader_costs_nothing_but_the_build")
    {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).more(
        r#"
static int one(void) { return 1; }
static int (*choose(void))(void) { *(volatile int *)8 = 1; return one; }
int chosen(void) __attribute__((ifunc("choose")));
int (*volatile uses)(void) = chosen;
"#,
    ));
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(seen.words(), ["loaded 1", "fault 2 open"]);
    std::thread::spawn(|| {}).join().unwrap();
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(ledger.count(), 3);
}

#[test]
fn a_refused_system_call_of_a_filter_is_a_fault_like_others() {
    // The filter stays with the thread.
    if let Some(command) =
        alone("crashes::a_refused_system_call_of_a_filter_is_a_fault_like_others")
    {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_STEP", "filtered").more_before(
        r#"
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
static void filtered(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_acct, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        syscall(SYS_acct, 0);
}
"#,
    ));
    let step = plugin.step();
    assert_eq!(step, Step::Failed(FailureCode(10 + libc::SIGSYS)));
    let told = failures(&seen);
    let [failure] = &told[..] else { panic!("{told:?}") };
    assert_eq!(kind(failure), FaultKind::SystemCall);
    assert_eq!(plugin.step(), Step::Ran(1));
}
