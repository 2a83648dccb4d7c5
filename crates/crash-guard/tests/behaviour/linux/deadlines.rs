//! Deadlines.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crash_guard::{FaultKind, Guard, barrier, call};

use super::case::cases;
use super::guest::{Guest, is_emulated};

const SOON: Duration = Duration::from_millis(2);
/// Long enough for host code to be reached first, however slow the machine.
const LATER: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_secs(3600);

cases! {
    WithGuest an_endless_loop_comes_back;
    WithGuest a_thousand_endless_loops_come_back;
    Plain a_sleeping_system_call_comes_back;
    Plain a_call_in_time_is_left_alone;
    Plain a_deadline_of_nothing_passes_at_once;
    WithGuest the_inner_of_two_deadlines_ends_the_inner_call;
    WithGuest the_outer_of_two_deadlines_ends_both_calls;
    WithGuest a_deadline_waits_for_the_end_of_a_barrier;
    WithGuest a_deadline_waits_for_the_end_of_nested_barriers;
    WithGuest timers_are_deleted_on_every_way_out;
    WithGuest a_fault_before_the_deadline_is_the_fault;
    Plain racing_deadlines_never_strike_outside_their_call;
    Plain four_threads_have_four_deadlines;
}

fn an_endless_loop_comes_back(guest: &Guest) {
    let spin = guest.function("spin");
    let start = Instant::now();
    let after = Duration::from_millis(30);
    let fault = unsafe { Guard::new().deadline(after).call(|| spin()) }.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Deadline);
    assert!(start.elapsed() >= after);
    assert!(guest.code().contains(&fault.pc));
}

fn a_thousand_endless_loops_come_back(guest: &Guest) {
    let spin = guest.function("spin");
    let guard = Guard::new().deadline(Duration::from_micros(200));
    for _ in 0..1000 {
        let fault = unsafe { guard.call(|| spin()) }.unwrap_err();
        assert_eq!((fault.kind, fault.depth), (FaultKind::Deadline, 1));
    }
}

fn a_sleeping_system_call_comes_back() {
    let guard = Guard::new().deadline(SOON);
    let fault = unsafe { guard.call::<()>(|| loop_of_pauses()) }.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Deadline);
}

fn loop_of_pauses() -> ! {
    loop {
        unsafe { libc::pause() };
    }
}

fn a_call_in_time_is_left_alone() {
    let guard = Guard::new().deadline(NEVER);
    for number in 0..1000 {
        assert_eq!(unsafe { guard.call(|| number + 1) }.unwrap(), number + 1);
    }
}

fn a_deadline_of_nothing_passes_at_once() {
    let guard = Guard::new().deadline(Duration::ZERO);
    let fault = unsafe { guard.call::<()>(|| loop_of_pauses()) }.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Deadline);
}

fn the_inner_of_two_deadlines_ends_the_inner_call(guest: &Guest) {
    let spin = guest.function("spin");
    let outer = Guard::new().deadline(NEVER);
    let inner = Guard::new().deadline(SOON);
    let depth = unsafe { outer.call(|| inner.call(|| spin()).unwrap_err().depth) }.unwrap();
    assert_eq!(depth, 2);
}

fn the_outer_of_two_deadlines_ends_both_calls(guest: &Guest) {
    let spin = guest.function("spin");
    let outer = Guard::new().deadline(SOON);
    let inner = Guard::new().deadline(NEVER);
    for _ in 0..10 {
        let fault = unsafe { outer.call(|| call(|| inner.call(|| spin()))) }.unwrap_err();
        assert_eq!((fault.kind, fault.depth), (FaultKind::Deadline, 1));
        assert_eq!(guest.fault("write_to_null").depth, 1);
    }
}

fn a_deadline_waits_for_the_end_of_a_barrier(guest: &Guest) {
    let spin = guest.function("spin");
    let mut host_finished = false;
    let fault = unsafe {
        Guard::new().deadline(LATER).call(|| {
            barrier(|| {
                let start = Instant::now();
                while start.elapsed() < LATER * 2 {}
                host_finished = true;
            });
            spin();
        })
    };
    assert_eq!(fault.unwrap_err().kind, FaultKind::Deadline);
    assert!(host_finished);
}

fn a_deadline_waits_for_the_end_of_nested_barriers(guest: &Guest) {
    let spin = guest.function("spin");
    let mut steps = 0;
    let fault = unsafe {
        Guard::new().deadline(LATER).call(|| {
            barrier(|| {
                let start = Instant::now();
                barrier(|| while start.elapsed() < LATER * 2 {});
                steps += 1;
                let inner = Guard::new().deadline(LATER).call(|| {
                    barrier(|| {
                        let start = Instant::now();
                        while start.elapsed() < LATER * 2 {}
                        steps += 1;
                    });
                });
                assert_eq!(inner.unwrap_err().depth, 3);
            });
            steps += 100;
            spin();
        })
    };
    let fault = fault.unwrap_err();
    assert_eq!((fault.kind, fault.depth), (FaultKind::Deadline, 1));
    assert_eq!(steps, 2);
}

fn timers_are_deleted_on_every_way_out(guest: &Guest) {
    // Every timer counts against this limit, so that a leak soon leaves none.
    let few = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    if !is_emulated() {
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &few) }, 0);
    }
    std::panic::set_hook(Box::new(|_| {}));
    let guard = Guard::new().deadline(NEVER);
    let (null, throw) = (guest.function("write_to_null"), guest.function("throw_int"));
    type Call = unsafe extern "C-unwind" fn(crash_guard::Entry, *mut c_void) -> i32;
    let over: Call = unsafe { std::mem::transmute(guest.symbol("set_jump_and_call")) };
    unsafe extern "C-unwind" fn jump_out(jump: *mut c_void) {
        let jump: unsafe extern "C-unwind" fn() = unsafe { std::mem::transmute(jump) };
        let _ = unsafe { Guard::new().deadline(NEVER).call(|| jump()) };
    }
    for _ in 0..300 {
        unsafe { guard.call(|| ()) }.unwrap();
        assert_eq!(unsafe { guard.call(|| null()) }.unwrap_err().kind, FaultKind::Access);
        assert_eq!(unsafe { guard.call(|| throw()) }.unwrap_err().kind, FaultKind::CxxException);
        let panicked = catch_unwind(AssertUnwindSafe(|| unsafe {
            let _ = guard.call::<()>(|| panic!("our own"));
        }));
        assert!(panicked.is_err());
        let outer = Guard::new().deadline(Duration::from_micros(100));
        let spin = guest.function("spin");
        let fault = unsafe { outer.call(|| guard.call(|| spin())) }.unwrap_err();
        assert_eq!((fault.kind, fault.code), (FaultKind::Deadline, libc::SI_TIMER));
    }
    // A jump leaves a timer until the next guard, if its frame is still to be recognised.
    for _ in 0..20 {
        assert_eq!(unsafe { over(jump_out, guest.symbol("jump_back")) }, 1);
        unsafe { call(|| ()) }.unwrap();
    }
}

fn a_fault_before_the_deadline_is_the_fault(guest: &Guest) {
    let null = guest.function("write_to_null");
    let fault = unsafe { Guard::new().deadline(NEVER).call(|| null()) }.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Access);
}

/// Deadlines about as long as the calls, so that many pass just when the call begins or ends.
fn racing_deadlines_never_strike_outside_their_call() {
    let (mut passed, mut in_time) = (0u32, 0u32);
    let turns = if is_emulated() { 500 } else { 20_000 };
    for turn in 0..turns {
        let guard = Guard::new().deadline(Duration::from_nanos(1 + turn % 4_000));
        let result = unsafe {
            guard.call(|| {
                for work in 0..turn % 977 {
                    std::hint::black_box(work);
                }
                turn
            })
        };
        match result {
            Ok(value) => {
                assert_eq!(value, turn);
                in_time += 1;
            }
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Deadline);
                passed += 1;
            }
        }
    }
    assert_eq!(u64::from(passed + in_time), turns);
}

fn four_threads_have_four_deadlines() {
    std::thread::scope(|scope| {
        for thread in 1..=4u32 {
            scope.spawn(move || {
                for _ in 0..50 {
                    let guard =
                        Guard::new().deadline(Duration::from_micros(u64::from(thread) * 300));
                    let fault = unsafe { guard.call::<()>(|| loop_of_pauses()) }.unwrap_err();
                    assert_eq!(fault.thread, unsafe { libc::gettid() } as u32);
                }
            });
        }
    });
}
