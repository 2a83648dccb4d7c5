//! Signals that are not faults of guarded code.

use crash_guard::call;

use super::case::{End, cases};
use super::guest::Guest;

cases! {
    Plain a_kill_from_outside_is_not_a_fault .ends(End::Signal(libc::SIGSEGV));
    Plain an_abort_signal_from_a_child_is_not_a_fault .ends(End::Signal(libc::SIGABRT));
    Plain a_queued_signal_is_not_a_fault .ends(End::Signal(libc::SIGBUS));
    Plain an_unguarded_fault_kills .ends(End::Signal(libc::SIGSEGV));
    Plain an_unguarded_trap_kills .ends(End::Signal(libc::SIGTRAP));
    Plain an_unguarded_abort_kills .ends(End::Signal(libc::SIGABRT));
    WithGuest a_forked_childs_fault_is_its_own;
    WithGuest a_vforked_childs_fault_is_its_own;
    Plain a_forked_child_has_guards_of_its_own;
    Plain a_forked_child_does_not_inherit_open_guards;
}

fn fault() {
    unsafe { (8 as *mut u8).write_volatile(1) };
}

fn a_kill_from_outside_is_not_a_fault() {
    let _ = unsafe {
        call(|| {
            libc::kill(libc::getpid(), libc::SIGSEGV);
            libc::pause();
        })
    };
}

fn an_abort_signal_from_a_child_is_not_a_fault() {
    let _ = unsafe {
        call::<()>(|| {
            if libc::fork() == 0 {
                libc::kill(libc::getppid(), libc::SIGABRT);
                libc::_exit(0);
            }
            loop {
                libc::pause();
            }
        })
    };
}

fn a_queued_signal_is_not_a_fault() {
    let _ = unsafe {
        call(|| {
            let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
            libc::sigqueue(libc::getpid(), libc::SIGBUS, value);
            libc::pause();
        })
    };
}

fn an_unguarded_fault_kills() {
    unsafe { call(fault) }.unwrap_err();
    fault();
}

fn an_unguarded_trap_kills() {
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("int3");
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("brk #1");
    }
}

fn an_unguarded_abort_kills() {
    unsafe { libc::abort() };
}

fn died_of(status: i32, signal: i32) -> bool {
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal
}

fn a_forked_childs_fault_is_its_own(guest: &Guest) {
    let function = guest.number("fault_in_fork");
    let status = unsafe { call(|| function()) }.unwrap();
    assert!(died_of(status, libc::SIGSEGV), "{status:#x}");
    assert!(unsafe { call(fault) }.is_err());
}

fn a_vforked_childs_fault_is_its_own(guest: &Guest) {
    let function = guest.number("fault_in_vfork");
    let status = unsafe { call(|| function()) }.unwrap();
    assert!(died_of(status, libc::SIGSEGV), "{status:#x}");
    assert!(unsafe { call(fault) }.is_err());
}

fn status_of(child: i32) -> i32 {
    let mut status = 0;
    unsafe { libc::waitpid(child, &mut status, 0) };
    status
}

fn a_forked_child_has_guards_of_its_own() {
    unsafe { call(fault) }.unwrap_err();
    let child = unsafe { libc::fork() };
    if child == 0 {
        let depth = unsafe { call(fault) }.map_or_else(|fault| fault.depth, |()| 0);
        unsafe { libc::_exit(if depth == 1 { 0 } else { 1 }) };
    }
    assert_eq!(status_of(child), 0);
}

fn a_forked_child_does_not_inherit_open_guards() {
    let status = unsafe {
        call(|| {
            let child = libc::fork();
            if child == 0 {
                let own = call(fault).is_err();
                if !own {
                    libc::_exit(1);
                }
                fault(); // under the parent's guard, which is not the child's
                libc::_exit(2);
            }
            status_of(child)
        })
    };
    let status = status.unwrap();
    assert!(died_of(status, libc::SIGSEGV), "{status:#x}");
}
