//! Many threads.

use crash_guard::{FaultKind, call};

use super::case::{End, cases};
use super::guest::{Guest, is_emulated};

cases! {
    Plain eight_threads_fault_a_hundred_thousand_times_each;
    Plain a_thousand_threads_leave_nothing_mapped;
    WithGuest a_thread_of_the_guests_has_no_guard .ends(End::Signal(libc::SIGSEGV));
    Plain a_thread_older_than_the_installation_is_guarded .without_installing();
}

fn eight_threads_fault_a_hundred_thousand_times_each() {
    let turns = if is_emulated() { 3_000 } else { 100_000usize };
    if is_emulated() {
        println!("3000 each, under an emulator");
    }
    let threads: Vec<_> = (0..8usize)
        .map(|thread| {
            std::thread::spawn(move || {
                let right = |turn: &usize| {
                    let address = thread * 8 + 8 + (turn & 7);
                    let fault = unsafe { call(|| (address as *mut u8).write_volatile(1)) };
                    let fault = fault.unwrap_err();
                    fault.address == Some(address) && fault.kind == FaultKind::Access
                };
                (0..turns).filter(right).count()
            })
        })
        .collect();
    let right: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(right, 8 * turns);
}

fn a_thousand_threads_leave_nothing_mapped() {
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let run = || {
        let thread = std::thread::spawn(|| {
            unsafe { call(|| (8 as *mut u8).write_volatile(1)) }.unwrap_err();
        });
        thread.join().unwrap();
    };
    for _ in 0..20 {
        run();
    }
    let before = mappings();
    for _ in 0..1000 {
        run();
    }
    let after = mappings();
    assert!(after <= before + 10, "{before} mappings before, {after} after");
}

fn a_thread_of_the_guests_has_no_guard(guest: &Guest) {
    let function = guest.function("fault_on_own_thread");
    let _ = unsafe { call(|| function()) };
}

fn a_thread_older_than_the_installation_is_guarded() {
    let (installed, wait) = std::sync::mpsc::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        unsafe { call(|| ()) }.unwrap(); // prepares the thread before there are guards
        ready.send(()).unwrap();
        wait.recv().unwrap();
        let fault = unsafe { call(|| (8 as *mut u8).write_volatile(1)) }.unwrap_err();
        assert_eq!(fault.depth, 1);
    });
    started.recv().unwrap();
    let _installed = crash_guard::install(crash_guard::Config::new()).unwrap();
    installed.send(()).unwrap();
    thread.join().unwrap();
}
