//! Handlers that were there before, and handlers that came later.

use std::ffi::c_void;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crash_guard::{Config, Disposition, call, install};

use super::case::{End, cases};
use super::guest::{self, Guest};

cases! {
    Plain a_previous_handler_gets_unguarded_faults
        .without_installing().ends(End::Code(42));
    Plain a_previous_handler_can_repair_and_go_on .without_installing();
    Plain a_previous_handler_runs_with_its_mask .without_installing();
    Plain a_previous_handler_without_defer_can_be_interrupted_by_its_own_signal
        .without_installing();
    Plain a_previous_handler_that_resets_runs_once
        .without_installing().ends(End::Signal(libc::SIGSEGV));
    Plain a_previous_handler_of_one_argument_is_called .without_installing();
    Plain a_signal_that_was_ignored_stays_ignored .without_installing();
    Plain a_fault_that_was_ignored_kills_all_the_same
        .without_installing().ends(End::Signal(libc::SIGSEGV));
    Plain uninstalling_gives_the_signals_back .without_installing();
    Plain the_last_installation_counts .without_installing();
    Plain only_the_chosen_signals_are_taken .without_installing();
    Plain a_signal_that_is_no_fault_is_refused .without_installing();
    WithGuest a_handler_of_an_unloaded_guest_is_repaired;
    WithGuest a_predecessor_of_an_unloaded_guest_is_forgotten
        .without_installing().ends(End::Signal(libc::SIGSEGV));
    WithGuest a_handler_that_stays_is_reported;
    Plain installing_again_after_uninstalling_works .without_installing();
}

static CALLS: AtomicI32 = AtomicI32::new(0);
static BLOCKED: AtomicU32 = AtomicU32::new(0);

fn fault() {
    unsafe { (8 as *mut u8).write_volatile(1) };
}

fn set(signal: i32, handler: usize, flags: i32, masked: &[i32]) {
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        for signal in masked {
            libc::sigaddset(&mut action.sa_mask, *signal);
        }
        assert_eq!(libc::sigaction(signal, &action, null_mut()), 0);
    }
}

fn present(signal: i32) -> libc::sigaction {
    unsafe {
        let mut action = zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action);
        action
    }
}

fn is_blocked(signal: i32) -> bool {
    unsafe {
        let mut mask = zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        libc::sigismember(&mask, signal) == 1
    }
}

extern "C" fn exit_42(_: i32, information: *mut libc::siginfo_t, _: *mut c_void) {
    let address = unsafe { (*information).si_addr() } as usize;
    unsafe { libc::_exit(if address == 8 { 42 } else { 1 }) };
}

fn a_previous_handler_gets_unguarded_faults() {
    set(libc::SIGSEGV, exit_42 as *const () as usize, libc::SA_SIGINFO, &[]);
    let _installed = install(Config::new()).unwrap();
    unsafe { call(fault) }.unwrap_err();
    fault();
}

extern "C" fn map_it(_: i32, information: *mut libc::siginfo_t, _: *mut c_void) {
    unsafe {
        let page = ((*information).si_addr() as usize & !4095) as *mut c_void;
        libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_WRITE);
        *libc::__errno_location() = 5;
    }
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn a_previous_handler_can_repair_and_go_on() {
    set(libc::SIGSEGV, map_it as *const () as usize, libc::SA_SIGINFO, &[]);
    let _installed = install(Config::new()).unwrap();
    for turn in 1..=10 {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = unsafe { libc::mmap(null_mut(), 4096, libc::PROT_NONE, flags, -1, 0) };
        unsafe { *libc::__errno_location() = 9 };
        unsafe { page.cast::<u8>().write_volatile(7) };
        assert_eq!(unsafe { *libc::__errno_location() }, 9);
        assert_eq!(unsafe { page.cast::<u8>().read_volatile() }, 7);
        assert_eq!(CALLS.load(Ordering::Relaxed), turn);
    }
}

extern "C" fn look_at_mask(signal: i32, _: *mut libc::siginfo_t, _: *mut c_void) {
    let bits = u32::from(is_blocked(signal))
        | u32::from(is_blocked(libc::SIGUSR1)) << 1
        | u32::from(is_blocked(libc::SIGUSR2)) << 2
        | u32::from(is_blocked(libc::SIGTERM)) << 3;
    BLOCKED.store(bits, Ordering::Relaxed);
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn a_previous_handler_runs_with_its_mask() {
    let handler = look_at_mask as *const () as usize;
    set(libc::SIGFPE, handler, libc::SA_SIGINFO, &[libc::SIGUSR1]);
    let _installed = install(Config::new()).unwrap();
    unsafe { libc::raise(libc::SIGFPE) };
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert_eq!(BLOCKED.load(Ordering::Relaxed), 0b0011);
    assert!(!is_blocked(libc::SIGUSR1));
}

extern "C" fn raise_again(signal: i32, _: *mut libc::siginfo_t, _: *mut c_void) {
    if CALLS.fetch_add(1, Ordering::Relaxed) == 0 {
        unsafe { libc::raise(signal) };
        BLOCKED.store(CALLS.load(Ordering::Relaxed) as u32, Ordering::Relaxed);
    }
}

fn a_previous_handler_without_defer_can_be_interrupted_by_its_own_signal() {
    let flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    set(libc::SIGFPE, raise_again as *const () as usize, flags, &[]);
    let _installed = install(Config::new()).unwrap();
    unsafe { libc::raise(libc::SIGFPE) };
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    assert_eq!(BLOCKED.load(Ordering::Relaxed), 2, "the second came inside the first");
}

extern "C" fn count(_: i32) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn a_previous_handler_that_resets_runs_once() {
    set(libc::SIGSEGV, count as *const () as usize, libc::SA_RESETHAND, &[]);
    let _installed = install(Config::new()).unwrap();
    fault(); // is handled without being cured, then executed again with the default action
}

fn a_previous_handler_of_one_argument_is_called() {
    set(libc::SIGILL, count as *const () as usize, 0, &[]);
    let _installed = install(Config::new()).unwrap();
    unsafe { libc::raise(libc::SIGILL) };
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

fn a_signal_that_was_ignored_stays_ignored() {
    set(libc::SIGFPE, libc::SIG_IGN, 0, &[]);
    let _installed = install(Config::new()).unwrap();
    unsafe { libc::kill(libc::getpid(), libc::SIGFPE) };
    unsafe { call(|| libc::kill(libc::getpid(), libc::SIGFPE)) }.unwrap();
}

fn a_fault_that_was_ignored_kills_all_the_same() {
    set(libc::SIGSEGV, libc::SIG_IGN, 0, &[]);
    let _installed = install(Config::new()).unwrap();
    unsafe { call(fault) }.unwrap_err();
    fault();
}

fn uninstalling_gives_the_signals_back() {
    set(libc::SIGSEGV, exit_42 as *const () as usize, libc::SA_SIGINFO, &[libc::SIGUSR1]);
    set(libc::SIGILL, libc::SIG_IGN, 0, &[]);
    let before: Vec<_> = (1..32).map(|signal| present(signal).sa_sigaction).collect();
    let installed = install(Config::new()).unwrap();
    assert!(installed.verify().is_ours());
    assert_ne!(present(libc::SIGSEGV).sa_sigaction, exit_42 as *const () as usize);
    unsafe { call(fault) }.unwrap_err();
    installed.uninstall();
    let after: Vec<_> = (1..32).map(|signal| present(signal).sa_sigaction).collect();
    assert_eq!(before, after);
    let action = present(libc::SIGSEGV);
    assert_eq!(unsafe { libc::sigismember(&action.sa_mask, libc::SIGUSR1) }, 1);
    assert_eq!(action.sa_flags & libc::SA_SIGINFO, libc::SA_SIGINFO);
    let deadline = (libc::SIGRTMIN()..=libc::SIGRTMAX()).find(|s| present(*s).sa_sigaction != 0);
    assert_eq!(deadline, None);
}

fn the_last_installation_counts() {
    let before = present(libc::SIGILL).sa_sigaction;
    let first = install(Config::new()).unwrap();
    let second = install(Config::new().alternate_stack(1 << 20)).unwrap();
    drop(first);
    assert!(second.verify().is_ours());
    unsafe { call(fault) }.unwrap_err();
    drop(second);
    assert_eq!(present(libc::SIGILL).sa_sigaction, before);
}

fn only_the_chosen_signals_are_taken() {
    let installed = install(Config::new().signals([libc::SIGSEGV])).unwrap();
    assert_eq!(installed.verify().of(libc::SIGSEGV), Some(Disposition::Ours));
    assert_eq!(installed.verify().of(libc::SIGILL), None);
    assert_eq!(present(libc::SIGILL).sa_sigaction, libc::SIG_DFL);
    unsafe { call(fault) }.unwrap_err();
    let _more = install(Config::new()).unwrap();
    assert_eq!(installed.verify().of(libc::SIGILL), Some(Disposition::Ours));
}

fn a_signal_that_is_no_fault_is_refused() {
    let error = install(Config::new().signals([libc::SIGTERM])).unwrap_err();
    assert!(matches!(error, crash_guard::Error::NotAFault { signal: libc::SIGTERM }));
    assert_eq!(present(libc::SIGTERM).sa_sigaction, libc::SIG_DFL);
}

fn a_handler_of_an_unloaded_guest_is_repaired(guest: &Guest) {
    let installed = install(Config::new()).unwrap();
    let copy = std::env::temp_dir().join(format!("crash-guard-{}.so", std::process::id()));
    std::fs::copy(&guest.path, &copy).unwrap();
    let unloading = Guest::open(&copy);
    std::fs::remove_file(&copy).unwrap();
    let range = unloading.code_of("install_handler");
    unsafe { unloading.function("install_handler")() };
    let found = installed.verify();
    assert!(
        matches!(found.of(libc::SIGSEGV), Some(Disposition::Replaced { handler }) if range.contains(&handler))
    );
    let repaired = installed.verify_and_repair(range.clone());
    assert_eq!(repaired.of(libc::SIGSEGV), Some(Disposition::Repaired));
    unloading.close();
    assert_eq!(crash_guard::probe::read(range.start), None, "the guest is unmapped");
    unsafe { call(fault) }.unwrap_err();
    assert!(installed.verify().is_ours());
}

fn a_predecessor_of_an_unloaded_guest_is_forgotten(guest: &Guest) {
    unsafe { guest.function("install_handler")() };
    let installed = install(Config::new()).unwrap();
    let range = guest.code();
    let repaired = installed.verify_and_repair(range);
    assert_eq!(repaired.of(libc::SIGSEGV), Some(Disposition::Repaired));
    fault(); // the guest's handler would have exited with 77
}

fn a_handler_that_stays_is_reported(guest: &Guest) {
    let installed = install(Config::new()).unwrap();
    unsafe { guest.function("install_handler")() };
    let other = guest::open("foreign");
    let found = installed.verify_and_repair(other.code_of("foreign_panic"));
    assert!(matches!(found.of(libc::SIGSEGV), Some(Disposition::Replaced { .. })));
    assert_eq!(found.of(libc::SIGILL), Some(Disposition::Ours));
    assert!(!found.is_ours());
}

fn installing_again_after_uninstalling_works() {
    for _ in 0..20 {
        let installed = install(Config::new()).unwrap();
        unsafe { call(fault) }.unwrap_err();
        installed.uninstall();
    }
}
