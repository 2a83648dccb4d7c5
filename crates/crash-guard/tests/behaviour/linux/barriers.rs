//! Host code that a guest calls back.

use crash_guard::{barrier, call};

use super::case::{End, cases};

cases! {
    Plain a_fault_under_a_barrier_is_the_hosts_own .ends(End::Signal(libc::SIGSEGV));
    Plain a_fault_under_a_nested_barrier_is_the_hosts_own .ends(End::Signal(libc::SIGSEGV));
    Plain a_guard_inside_a_barrier_catches;
    Plain after_a_barrier_the_guest_is_guarded_again;
    Plain a_barrier_without_a_guard_is_a_plain_call;
}

fn fault() {
    unsafe { (8 as *mut u8).write_volatile(1) };
}

fn a_fault_under_a_barrier_is_the_hosts_own() {
    let _ = unsafe { call(|| barrier(fault)) };
}

fn a_fault_under_a_nested_barrier_is_the_hosts_own() {
    let _ = unsafe {
        call(|| {
            barrier(|| {
                assert!(call(|| barrier(|| call(fault).is_err())).unwrap());
                barrier(|| ());
                fault();
            });
        })
    };
}

fn a_guard_inside_a_barrier_catches() {
    let depth = unsafe { call(|| barrier(|| call(fault).unwrap_err().depth)) }.unwrap();
    assert_eq!(depth, 3);
}

fn after_a_barrier_the_guest_is_guarded_again() {
    let result = unsafe {
        call(|| {
            assert_eq!(barrier(|| 5), 5);
            fault();
        })
    };
    assert_eq!(result.unwrap_err().depth, 1);
}

fn a_barrier_without_a_guard_is_a_plain_call() {
    assert_eq!(barrier(|| "value".to_owned()), "value");
    assert!(unsafe { call(fault) }.is_err());
}
