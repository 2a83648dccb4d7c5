//! Exceptions and panics, foreign ones caught and our own passed through.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crash_guard::{Entry, FaultKind, Guard, ReturnAddresses, call, call_fn};

use super::case::{End, cases};
use super::guest::{self, Guest};

cases! {
    WithGuest exceptions_come_back_with_their_types;
    WithGuest a_rethrown_exception_keeps_its_type;
    WithGuest an_exceptions_addresses_lead_from_its_throw_to_the_guard;
    WithGuest an_exception_whose_cleanup_abandoned_another_has_no_strange_addresses;
    WithGuest an_exception_caught_inside_is_nobodys_business;
    WithGuest twenty_thousand_exceptions_leak_nothing;
    WithGuest a_fault_in_an_exceptions_destructor_is_swallowed;
    Plain foreign_panics_come_back;
    Plain a_foreign_panic_that_cannot_unwind_is_an_abort;
    Plain our_own_panics_pass_through_with_their_destructors;
    WithGuest our_own_panics_pass_through_the_guests_frames;
    WithGuest exiting_a_thread_passes_through;
    WithGuest before_installing_exceptions_are_not_caught
        .without_installing().ends(End::Signal(libc::SIGABRT));
}

fn exceptions_come_back_with_their_types(guest: &Guest) {
    for (function, type_name) in [("throw_runtime_error", "St13runtime_error"), ("throw_int", "i")]
    {
        let fault = guest.fault(function);
        assert_eq!((fault.kind, fault.signal), (FaultKind::CxxException, 0));
        assert_eq!(fault.exception.unwrap().type_name(), type_name);
        assert!(fault.to_string().contains(type_name));
    }
    assert_eq!(unsafe { guest.number("destroyed_count")() }, 2);
    assert_eq!(unsafe { guest.number("uncaught_count")() }, 0);
}

fn a_rethrown_exception_keeps_its_type(guest: &Guest) {
    let fault = guest.fault("rethrow_pointer");
    assert_eq!(fault.exception.unwrap().type_name(), "St11logic_error");
    assert_eq!(unsafe { guest.number("uncaught_count")() }, 0);
}

fn an_exceptions_addresses_lead_from_its_throw_to_the_guard(guest: &Guest) {
    type Throw = unsafe extern "C-unwind" fn(i32);
    struct Call(Throw, i32);
    unsafe extern "C-unwind" fn enter(argument: *mut c_void) {
        let Call(throw, depth) = unsafe { &*argument.cast::<Call>() };
        unsafe { throw(*depth) };
    }
    let throw: Throw = unsafe { std::mem::transmute(guest.symbol("throw_from_depth")) };
    let addresses = |depth| {
        let mut argument = Call(throw, depth);
        let fault = unsafe { call_fn(enter, (&raw mut argument).cast()) }.unwrap_err();
        assert_eq!((fault.pc, fault.kind), (0, FaultKind::CxxException));
        fault.return_addresses
    };
    let code = guest.code();
    let shallow = addresses(0);
    let inside = |addresses: &[usize]| addresses.iter().filter(|a| code.contains(a)).count();
    assert!(inside(&shallow) > 0 && !code.contains(&shallow[0]), "{shallow:?}");
    let mut thrower = unsafe { std::mem::zeroed::<libc::Dl_info>() };
    assert_ne!(unsafe { libc::dladdr((shallow[0] - 1) as *const c_void, &mut thrower) }, 0);
    assert_eq!(unsafe { CStr::from_ptr(thrower.dli_sname) }, c"__cxa_throw");
    for depth in 1..4 {
        let deep = addresses(depth);
        assert_eq!(inside(&deep), inside(&shallow) + depth as usize, "{deep:?}");
        assert_eq!(deep[0], shallow[0]);
        assert_eq!(deep[deep.len() - 2..], shallow[shallow.len() - 2..], "the guard and `enter`");
    }
    let cut = addresses(1000);
    assert_eq!((cut.len(), cut[0]), (ReturnAddresses::MOST, shallow[0]));
    assert_eq!(addresses(0).as_slice(), shallow.as_slice());
}

/// A clean-up throws another exception as far as the guard, and one of its own clean-ups jumps
/// back, so that the first exception lands after the second was searched for.
fn an_exception_whose_cleanup_abandoned_another_has_no_strange_addresses(guest: &Guest) {
    type Calling<R> = unsafe extern "C-unwind" fn(Entry, *mut c_void) -> R;
    struct Functions {
        set_jump_and_call: Calling<i32>,
        throw_and_call_back: Calling<()>,
        jump_back: Entry,
    }
    unsafe extern "C-unwind" fn throw_and_jump_back(argument: *mut c_void) {
        let functions = unsafe { &*argument.cast::<Functions>() };
        unsafe { (functions.throw_and_call_back)(functions.jump_back, std::ptr::null_mut()) };
    }
    unsafe extern "C-unwind" fn clean_up(argument: *mut c_void) {
        let functions = unsafe { &*argument.cast::<Functions>() };
        let jumped = unsafe { (functions.set_jump_and_call)(throw_and_jump_back, argument) };
        assert_eq!(jumped, 1);
    }
    type CallAndCleanUp = unsafe extern "C-unwind" fn(guest::Function, Entry, *mut c_void);
    let cleanup = guest::open("cleanup");
    unsafe {
        use std::mem::transmute;
        let call_and_clean_up =
            transmute::<*mut c_void, CallAndCleanUp>(cleanup.symbol("call_and_clean_up"));
        let set_jump = guest.symbol("set_jump_and_call");
        let throw = guest.symbol("throw_and_call_back");
        let mut functions = Functions {
            set_jump_and_call: transmute::<*mut c_void, Calling<i32>>(set_jump),
            throw_and_call_back: transmute::<*mut c_void, Calling<()>>(throw),
            jump_back: transmute::<*mut c_void, Entry>(guest.symbol("jump_back")),
        };
        let argument = (&raw mut functions).cast();
        let throw = guest.function("throw_runtime_error");
        let fault = call(|| call_and_clean_up(throw, clean_up, argument)).unwrap_err();
        assert_eq!(fault.exception.unwrap().type_name(), "St13runtime_error");
        assert_eq!(fault.return_addresses.as_slice(), []);
    }
}

fn an_exception_caught_inside_is_nobodys_business(guest: &Guest) {
    let function = guest.number("throw_and_catch");
    assert_eq!(unsafe { call(|| function()) }.unwrap(), 1);
}

fn twenty_thousand_exceptions_leak_nothing(guest: &Guest) {
    let allocated = || unsafe { libc::mallinfo2() }.uordblks;
    for _ in 0..1000 {
        guest.fault("throw_runtime_error");
    }
    let before = allocated();
    for _ in 0..if guest::is_emulated() { 2_000 } else { 20_000 } {
        guest.fault("throw_runtime_error");
    }
    let after = allocated();
    assert!(after < before + 4096, "{before} bytes before, {after} after");
}

fn a_fault_in_an_exceptions_destructor_is_swallowed(guest: &Guest) {
    let fault = guest.fault("throw_faulting_destructor");
    assert_eq!(fault.kind, FaultKind::CxxException);
    assert_eq!(guest.fault("write_to_null").depth, 1);
}

fn foreign_panics_come_back() {
    let foreign = guest::open("foreign");
    for _ in 0..100 {
        assert_eq!(foreign.fault("foreign_panic").kind, FaultKind::ForeignPanic);
    }
    // Both spellings of which panic is whose must have been learnt by now.
    our_own_panics_pass_through_with_their_destructors();
}

fn a_foreign_panic_that_cannot_unwind_is_an_abort() {
    let fault = guest::open("foreign").fault("foreign_panic_that_cannot_unwind");
    assert_eq!(fault.kind, FaultKind::Abort);
}

struct Counting<'a>(&'a Cell<u32>);

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn our_own_panics_pass_through_with_their_destructors() {
    std::panic::set_hook(Box::new(|_| {}));
    let dropped = Cell::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _outer = Counting(&dropped);
        let _ = unsafe {
            call(|| {
                let _inner = Counting(&dropped);
                let _ = Guard::new().call::<()>(|| {
                    let _innermost = Counting(&dropped);
                    panic!("our own");
                });
            })
        };
    }));
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "our own");
    assert_eq!(dropped.get(), 3);
    let fault = unsafe { call(|| (8 as *mut u8).write_volatile(1)) }.unwrap_err();
    assert_eq!(fault.depth, 1);
}

fn our_own_panics_pass_through_the_guests_frames(guest: &Guest) {
    unsafe extern "C-unwind" fn panic(_: *mut c_void) {
        crash_guard::barrier(|| panic!("in the host"));
    }
    std::panic::set_hook(Box::new(|_| {}));
    type CallBack = unsafe extern "C-unwind" fn(Entry, *mut c_void);
    let back: CallBack = unsafe { std::mem::transmute(guest.symbol("call_back")) };
    let panicked = catch_unwind(|| unsafe { call(|| back(panic, std::ptr::null_mut())) });
    assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "in the host");
    assert_eq!(guest.fault("write_to_null").depth, 1);
}

fn exiting_a_thread_passes_through(guest: &Guest) {
    unsafe extern "C-unwind" fn body(guest: *mut c_void) {
        let guest = unsafe { &*guest.cast::<Guest>() };
        let exit = guest.function("exit_thread");
        let _ = unsafe { call(|| exit()) };
        unreachable!("the thread has exited");
    }
    type OnThread = unsafe extern "C-unwind" fn(Entry, *mut c_void, usize);
    unsafe {
        let on_thread: OnThread = std::mem::transmute(guest.symbol("on_thread_with_stack"));
        on_thread(body, (&raw const *guest).cast_mut().cast(), 0);
    }
    assert_eq!(unsafe { guest.number("destroyed_count")() }, 1);
}

fn before_installing_exceptions_are_not_caught(guest: &Guest) {
    let throw = guest.function("throw_int");
    let _ = unsafe { call(|| throw()) };
}
