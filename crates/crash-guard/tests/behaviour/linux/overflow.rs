//! Stack overflows, on every kind of stack, again and again.

use std::ffi::c_void;
use std::hint::black_box;

use crash_guard::{FaultKind, call};

use super::case::{End, cases};
use super::guest::Guest;

cases! {
    WithGuest the_main_thread_overflows_fifty_times;
    WithGuest a_std_thread_overflows_fifty_times;
    WithGuest a_small_raw_thread_overflows_fifty_times;
    WithGuest a_coroutine_overflows_fifty_times;
    WithGuest a_frame_of_twelve_mebibytes_jumps_over_the_guard;
    WithGuest the_c_library_overflows_fifty_times;
    Plain a_rust_closure_overflows;
    Plain an_unguarded_overflow_still_gets_its_message
        .ends(End::Saying(libc::SIGABRT, "has overflowed its stack"));
}

fn overflow_fifty_times(guest: &Guest) {
    for _ in 0..50 {
        let fault = guest.fault("overflow");
        assert_eq!(fault.kind, FaultKind::StackOverflow, "{fault:?}");
    }
}

fn the_main_thread_overflows_fifty_times(guest: &Guest) {
    overflow_fifty_times(guest);
}

fn a_std_thread_overflows_fifty_times(guest: &Guest) {
    let path = guest.path.clone();
    std::thread::spawn(move || overflow_fifty_times(&Guest::open(&path))).join().unwrap();
}

fn a_small_raw_thread_overflows_fifty_times(guest: &Guest) {
    unsafe extern "C-unwind" fn body(guest: *mut c_void) {
        overflow_fifty_times(unsafe { &*guest.cast::<Guest>() });
    }
    type OnThread = unsafe extern "C-unwind" fn(crash_guard::Entry, *mut c_void, usize);
    unsafe {
        let on_thread: OnThread = std::mem::transmute(guest.symbol("on_thread_with_stack"));
        on_thread(body, (&raw const *guest).cast_mut().cast(), 256 * 1024);
    }
}

fn a_coroutine_overflows_fifty_times(guest: &Guest) {
    for _ in 0..50 {
        let fault = guest.fault("overflow_in_coroutine");
        assert_eq!(fault.kind, FaultKind::StackOverflow, "{fault:?}");
    }
}

fn a_frame_of_twelve_mebibytes_jumps_over_the_guard(guest: &Guest) {
    let fault = guest.fault("frame_of_12_mib");
    assert_eq!(fault.kind, FaultKind::StackOverflow, "{fault:?}");
}

fn the_c_library_overflows_fifty_times(guest: &Guest) {
    for turn in 0..50 {
        // Another depth each time, so that it ends in other places.
        fn deeper(guest: &Guest, bytes: usize) -> FaultKind {
            let space = black_box([0u8; 48]);
            if bytes > 48 {
                return deeper(guest, bytes - usize::from(space[3]) - 48);
            }
            guest.fault("overflow_in_library").kind
        }
        assert_eq!(deeper(guest, turn * 100), FaultKind::StackOverflow);
    }
    let path = guest.path.clone();
    let thread = std::thread::spawn(move || Guest::open(&path).fault("overflow_in_library").kind);
    assert_eq!(thread.join().unwrap(), FaultKind::StackOverflow);
}

#[allow(unconditional_recursion, reason = "the point")]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[3]
}

fn a_rust_closure_overflows() {
    for _ in 0..10 {
        let fault = unsafe { call(|| black_box(recurse(0))) }.unwrap_err();
        assert_eq!(fault.kind, FaultKind::StackOverflow);
    }
}

fn an_unguarded_overflow_still_gets_its_message() {
    unsafe { call(|| (8 as *mut u8).write_volatile(1)) }.unwrap_err();
    black_box(recurse(0));
}
