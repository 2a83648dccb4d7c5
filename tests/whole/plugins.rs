//! Several plugins in one process: side by side, one inside the other, each on a thread of its own;
//! and the host's own faults, which are nobody's but the host's.
#![allow(unsafe_code, reason = "callbacks of guests, signal handlers, and faults on purpose")]

use std::ffi::{c_int, c_void};
use std::io::Write;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use reloader::{Event, FailureCode, Plugin, Step};
use reloader_tests::{Bench, Build, Ledger, alone, die, pass, step_until};

/// What a guest that calls its host back finds in its userdata.
#[repr(C)]
#[derive(Debug, Default)]
struct Callback {
    function: AtomicPtr<c_void>,
    argument: AtomicPtr<c_void>,
    /// Whether the guest faults before the call (1) or after it (2).
    fault: AtomicI32,
    /// What the function returned.
    result: AtomicI32,
}

type Function = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;

impl Callback {
    fn new(function: Function, argument: *mut c_void) -> &'static Self {
        let callback: &Self = Box::leak(Box::default());
        callback.function.store(function as *mut c_void, Ordering::Relaxed);
        callback.argument.store(argument, Ordering::Relaxed);
        callback
    }

    fn give_to(&'static self, plugin: &mut Plugin) {
        plugin.set_userdata(std::ptr::from_ref(self).cast_mut().cast());
    }
}

/// A guest that calls its host back in each step.
fn caller(build: i32) -> Build {
    Build::c(
        r#"
#include "reloader_guest.h"
struct callback { int (*function)(void *); void *argument; int fault; int result; };
static int CR_STATE count = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    struct callback *callback = ctx->userdata;
    if (operation == CR_STEP) {
        if (callback->fault == 1) *(volatile int *)8 = 1;
        callback->result = callback->function(callback->argument);
        if (callback->fault == 2) *(volatile int *)16 = 1;
        count++;
    }
    return BUILD * 100 + count;
}
"#,
    )
    .flag(format!("-DBUILD={build}"))
}

/// Steps the plugin that `argument` points to; the step's number, or a negative one if it was none.
unsafe extern "C-unwind" fn step_inner(argument: *mut c_void) -> c_int {
    crash_guard::barrier(|| {
        // SAFETY: the tests pass a plugin that nobody uses meanwhile.
        let plugin = unsafe { &mut *argument.cast::<Plugin>() };
        match plugin.step() {
            Step::Ran(value) => value,
            Step::Failed(_) => -1,
            Step::Idle => -2,
        }
    })
}

/// One plugin, stepped in the middle of another one's step.
struct Nest {
    outer_bench: Bench,
    inner_bench: Bench,
    outer: Plugin,
    inner: *mut Plugin,
    callback: &'static Callback,
    ledger: &'static Ledger,
}

impl Nest {
    fn new() -> Self {
        let outer_bench = Bench::with(&caller(1));
        let inner_bench = Bench::with(&Build::ledger(1));
        let (mut outer, _) = outer_bench.open();
        let (mut inner, _) = inner_bench.open();
        let ledger = Ledger::new();
        ledger.give_to(&mut inner);
        let inner = Box::into_raw(Box::new(inner));
        let callback = Callback::new(step_inner, inner.cast());
        callback.give_to(&mut outer);
        Self { outer_bench, inner_bench, outer, inner, callback, ledger }
    }

    fn result(&self) -> i32 {
        self.callback.result.load(Ordering::Relaxed)
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, and the outer plugin is not stepped any more.
        drop(unsafe { Box::from_raw(self.inner) });
    }
}

#[test]
fn a_fault_of_the_inner_plugin_leaves_the_outer_one_alone() {
    let mut nest = Nest::new();
    assert_eq!(nest.outer.step(), Step::Ran(101));
    assert_eq!(nest.result(), 1);
    nest.inner_bench.put(&Build::ledger(2).failing("CR_STEP", "segv"));
    assert_eq!(nest.outer.step(), Step::Ran(102));
    assert_eq!(nest.result(), -1);
    assert_eq!(nest.outer.step(), Step::Ran(103));
    assert_eq!((nest.result(), nest.ledger.count()), (1, 2));
    nest.inner_bench.put(&Build::ledger(3));
    assert_eq!(nest.outer.step(), Step::Ran(104));
    assert_eq!((nest.result(), nest.ledger.count()), (3, 3));
}

#[test]
fn a_fault_of_the_outer_plugin_after_the_inner_one_ran_is_the_outer_ones() {
    let mut nest = Nest::new();
    assert_eq!(nest.outer.step(), Step::Ran(101));
    nest.outer_bench.put(&caller(2));
    nest.callback.fault.store(2, Ordering::Relaxed);
    assert_eq!(nest.outer.step(), Step::Failed(FailureCode::SEGFAULT));
    nest.callback.fault.store(0, Ordering::Relaxed);
    assert_eq!(nest.outer.step(), Step::Ran(102));
    assert_eq!((nest.result(), nest.ledger.count()), (1, 3));
    // And with an inner one that has failed itself just before.
    nest.outer_bench.put(&caller(3));
    nest.inner_bench.put(&Build::ledger(2).failing("CR_STEP", "call_abort"));
    nest.callback.fault.store(2, Ordering::Relaxed);
    assert_eq!(nest.outer.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(nest.result(), -1);
    nest.callback.fault.store(0, Ordering::Relaxed);
    assert_eq!(nest.outer.step(), Step::Ran(103));
    assert_eq!(nest.result(), 1);
    nest.outer_bench.put(&caller(4));
    nest.inner_bench.put(&Build::ledger(4));
    assert_eq!(nest.outer.step(), Step::Ran(404));
    assert_eq!((nest.result(), nest.ledger.count()), (4, 5));
}

#[test]
fn an_outer_plugin_that_faults_before_it_calls_leaves_the_inner_one_alone() {
    let mut nest = Nest::new();
    assert_eq!(nest.outer.step(), Step::Ran(101));
    nest.callback.fault.store(1, Ordering::Relaxed);
    nest.outer_bench.put(&caller(2));
    assert_eq!(nest.outer.step(), Step::Failed(FailureCode::SEGFAULT));
    assert_eq!(nest.ledger.count(), 1);
    nest.callback.fault.store(0, Ordering::Relaxed);
    assert_eq!(nest.outer.step(), Step::Ran(102));
    assert_eq!(nest.ledger.count(), 2);
}

#[test]
fn plugins_side_by_side_fail_and_reload_each_by_itself() {
    let benches: Vec<Bench> = (0..4).map(|_| Bench::with(&Build::ledger(1))).collect();
    let mut plugins: Vec<(Plugin, &Ledger)> = benches
        .iter()
        .map(|bench| {
            let (mut plugin, _) = bench.open();
            let ledger = Ledger::new();
            ledger.give_to(&mut plugin);
            (plugin, ledger)
        })
        .collect();
    for (plugin, _) in &mut plugins {
        assert_eq!(plugin.step(), Step::Ran(1));
    }
    benches[0].put(&Build::ledger(2).failing("CR_STEP", "segv"));
    benches[1].put(&Build::ledger(3));
    benches[2].put(&Build::ledger(4).failing("CR_LOAD", "call_abort"));
    let steps: Vec<Step> = plugins.iter_mut().map(|(plugin, _)| plugin.step()).collect();
    let segv = Step::Failed(FailureCode::SEGFAULT);
    let abort = Step::Failed(FailureCode::ABORT);
    assert_eq!(steps, [segv, Step::Ran(3), abort, Step::Ran(1)]);
    let steps: Vec<Step> = plugins.iter_mut().map(|(plugin, _)| plugin.step()).collect();
    assert_eq!(steps, [Step::Ran(1), Step::Ran(3), Step::Ran(1), Step::Ran(1)]);
    let counts: Vec<i32> = plugins.iter().map(|(_, ledger)| ledger.count()).collect();
    assert_eq!(counts, [2, 3, 2, 3]);
    // Closing one leaves the others guarded.
    drop(plugins.remove(0));
    benches[1].put(&Build::ledger(2).failing("CR_STEP", "segv"));
    assert_eq!(plugins[0].0.step(), segv);
    assert_eq!(plugins[0].0.step(), Step::Ran(3));
}

#[test]
fn plugins_on_several_threads_crash_and_reload_fifty_times_each() {
    const ROUNDS: i32 = 50;
    let good = [Build::ledger(1), Build::ledger(2)];
    let bad = ["segv", "call_abort", "overflow_the_stack", "ill"]
        .map(|way| Build::ledger(3).failing("CR_STEP", way).bytes());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (good, bad) = (&good, &bad);
            scope.spawn(move || {
                let bench = Bench::with(&good[0]);
                let (mut plugin, seen) = bench.open();
                let ledger = Ledger::new();
                ledger.give_to(&mut plugin);
                assert_eq!(plugin.step(), Step::Ran(1));
                for round in 0..ROUNDS {
                    let mut bytes = bad[(thread + round as usize) % bad.len()].clone();
                    // Other bytes each time: a build that failed is not loaded again.
                    bytes.extend(round.to_le_bytes());
                    bench.put_bytes(&bytes);
                    assert!(matches!(plugin.step(), Step::Failed(_)), "{:?}", seen.take());
                    let count = ledger.count();
                    let build = 1 + round % 2;
                    assert_eq!(plugin.step(), Step::Ran(build), "{:?}", seen.take());
                    assert_eq!(ledger.count(), count);
                    bench.put(&good[usize::try_from(2 - build).unwrap()]);
                    assert_eq!(plugin.step(), Step::Ran(3 - build), "{:?}", seen.take());
                    assert_eq!(ledger.count(), count + 1);
                }
                assert_eq!(ledger.count(), 1 + 2 * ROUNDS);
                plugin.close();
                assert_eq!(bench.copies(), Vec::<std::path::PathBuf>::new());
            });
        }
    });
}

#[test]
fn a_plugin_moves_between_threads() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    let ledger = Ledger::new();
    ledger.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(1));
    let mut plugin = std::thread::spawn(move || {
        assert_eq!(plugin.step(), Step::Ran(1));
        plugin
    })
    .join()
    .unwrap();
    bench.put(&Build::ledger(2).failing("CR_STEP", "overflow_the_stack"));
    let mut plugin = std::thread::spawn(move || {
        assert_eq!(plugin.step(), Step::Failed(FailureCode::STACKOVERFLOW));
        plugin
    })
    .join()
    .unwrap();
    assert_eq!(plugin.step(), Step::Ran(1));
    assert_eq!(ledger.count(), 3);
}

fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
}

/// A fault of the host's own.
fn host_fault() {
    // SAFETY: it is not: this is the fault.
    unsafe { std::ptr::without_provenance_mut::<i32>(64).write_volatile(1) };
}

#[test]
fn a_fault_of_the_host_itself_kills_the_process_as_ever() {
    let test = "plugins::a_fault_of_the_host_itself_kills_the_process_as_ever";
    if let Some(command) = alone(test) {
        die(command, libc::SIGSEGV, "guest ran and crashed");
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2).failing("CR_STEP", "segv"));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    assert_eq!(plugin.step(), Step::Ran(1));
    say("guest ran and crashed");
    host_fault();
    say("the host's fault was swallowed");
}

#[test]
fn an_abort_of_the_host_on_another_thread_kills_the_process_as_ever() {
    let test = "plugins::an_abort_of_the_host_on_another_thread_kills_the_process_as_ever";
    if let Some(command) = alone(test) {
        die(command, libc::SIGABRT, "guest ran");
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    say("guest ran");
    let thread = std::thread::spawn(|| std::process::abort());
    // The plugin is inside its guest most of the time.
    loop {
        assert_eq!(plugin.step(), Step::Ran(1));
        assert!(!thread.is_finished());
    }
}

unsafe extern "C-unwind" fn faulty_callback(_: *mut c_void) -> c_int {
    crash_guard::barrier(|| {
        say("in the host's callback");
        host_fault();
        say("the host's fault was taken for the guest's");
        0
    })
}

#[test]
fn a_fault_in_a_callback_of_the_host_is_the_hosts_own() {
    let test = "plugins::a_fault_in_a_callback_of_the_host_is_the_hosts_own";
    if let Some(command) = alone(test) {
        die(command, libc::SIGSEGV, "in the host's callback");
        return;
    }
    let bench = Bench::with(&caller(1));
    let (mut plugin, _) = bench.open();
    let callback = Callback::new(faulty_callback, std::ptr::null_mut());
    callback.give_to(&mut plugin);
    let step = plugin.step();
    say(&format!("the host's fault was taken for the guest's: {step:?}"));
}

#[test]
fn a_fault_of_a_guests_own_thread_kills_the_process() {
    let test = "plugins::a_fault_of_a_guests_own_thread_kills_the_process";
    if let Some(command) = alone(test) {
        die(command, libc::SIGSEGV, "guest ran");
        return;
    }
    let bench = Bench::with(&Build::c(
        r#"
#include "reloader_guest.h"
#include <pthread.h>
static void *faulty(void *go) {
    while (!*(volatile int *)go) {}
    *(volatile int *)8 = 1;
    return 0;
}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    pthread_t thread;
    if (operation == CR_LOAD) pthread_create(&thread, 0, faulty, ctx->userdata);
    return 1;
}
"#,
    ));
    let (mut plugin, _) = bench.open();
    let go: &'static AtomicI32 = Box::leak(Box::default());
    plugin.set_userdata(std::ptr::from_ref(go).cast_mut().cast());
    assert_eq!(plugin.step(), Step::Ran(1));
    say("guest ran");
    go.store(1, Ordering::Relaxed);
    loop {
        assert_eq!(plugin.step(), Step::Ran(1));
    }
}

static CAUGHT: AtomicUsize = AtomicUsize::new(0);
static PAGE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The host's own handler: mends what the host did on purpose.
extern "C" fn on_fault(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let page = PAGE.load(Ordering::Relaxed);
    // SAFETY: the kernel passes the signal's description; the page is the test's own.
    unsafe {
        if (*info).si_addr() != page {
            libc::_exit(99);
        }
        libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_WRITE);
    }
    CAUGHT.fetch_add(1, Ordering::Relaxed);
}

fn handler_of(signal: c_int) -> usize {
    // SAFETY: `sigaction` writes the structure, of which zero is a valid value.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

const SIGNALS: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];

#[test]
fn the_hosts_own_handler_still_gets_the_hosts_faults_and_comes_back_at_the_end() {
    let test =
        "plugins::the_hosts_own_handler_still_gets_the_hosts_faults_and_comes_back_at_the_end";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    // SAFETY: a page and a handler of the test's own, in a process of its own.
    let page = unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(page, libc::MAP_FAILED);
        PAGE.store(page, Ordering::Relaxed);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()), 0);
        page
    };
    let fault_of_the_host = || {
        // SAFETY: the page is mapped; the handler makes it writable.
        unsafe {
            libc::mprotect(page, 4096, libc::PROT_NONE);
            page.cast::<u32>().write_volatile(7);
            page.cast::<u32>().read_volatile()
        }
    };
    let before = SIGNALS.map(handler_of);
    assert_eq!(before[0], on_fault as *const () as usize);
    let bench = Bench::with(&Build::ledger(1));
    for round in 0..2 {
        let (mut first, _) = bench.open();
        let (mut second, _) = bench.open();
        bench.put(&Build::ledger(1));
        assert_eq!(first.step(), Step::Ran(1));
        assert_eq!(second.step(), Step::Ran(1));
        assert_eq!(fault_of_the_host(), 7);
        assert_eq!(CAUGHT.load(Ordering::Relaxed), 1 + 3 * round);
        bench.put(&Build::ledger(2).failing("CR_STEP", "segv"));
        assert_eq!(first.step(), Step::Failed(FailureCode::SEGFAULT));
        assert_eq!(fault_of_the_host(), 7);
        assert_eq!(CAUGHT.load(Ordering::Relaxed), 2 + 3 * round);
        first.close();
        assert_ne!(SIGNALS.map(handler_of), before, "the second plugin is guarded still");
        assert_eq!(second.step(), Step::Failed(FailureCode::SEGFAULT));
        second.close();
        assert_eq!(SIGNALS.map(handler_of), before);
        assert_eq!(fault_of_the_host(), 7);
        assert_eq!(CAUGHT.load(Ordering::Relaxed), 3 + 3 * round);
    }
}

#[test]
fn a_guest_that_takes_the_signals_for_itself_does_not_keep_them() {
    // Its handler would be left behind in memory that is not there any more.
    let test = "plugins::a_guest_that_takes_the_signals_for_itself_does_not_keep_them";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let before = SIGNALS.map(handler_of);
    let bench = Bench::with(&Build::c(
        r#"
#include "reloader_guest.h"
#include <signal.h>
static void mine(int signal) { (void)signal; }
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    if (operation == CR_LOAD) signal(SIGSEGV, mine);
    return 1;
}
"#,
    ));
    let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    step_until(&mut plugin, |step| step == Step::Ran(2));
    let retired =
        seen.take().into_iter().any(|event| matches!(event, Event::Retired { version: 1, .. }));
    assert!(retired);
    bench.put(&Build::ledger(3).failing("CR_STEP", "segv"));
    assert_eq!(plugin.step(), Step::Failed(FailureCode::SEGFAULT));
    plugin.close();
    assert_eq!(SIGNALS.map(handler_of), before);
}
