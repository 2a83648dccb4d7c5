//! Names and lines of what faulted.

use std::ffi::c_void;
use std::path::Path;

use crash_guard::symbolize::{Frame, resolve};
use crash_guard::{Entry, Fault, Guard, call};

use super::case::cases;
use super::guest::{self, Guest, is_emulated};

cases! {
    WithGuest a_fault_has_its_function_file_and_line;
    WithGuest the_guests_function_below_abort_is_named;
    WithGuest what_throws_is_named;
    WithGuest an_exception_keeps_its_place_while_destructors_throw;
    WithGuest an_exception_keeps_its_place_while_a_guard_in_a_destructor_catches;
    WithGuest an_exception_out_of_a_cleanup_has_its_own_place;
    Plain what_panics_in_another_runtime_is_named;
    WithGuest a_file_that_the_caller_knows_is_resolved;
    Plain a_rust_function_is_demangled;
    WithGuest files_that_are_missing_or_empty_give_bare_frames;
    WithGuest rotten_files_give_less_and_never_panic;
}

/// Where the guest's source says `// LINE: name`.
fn line_of(name: &str) -> u32 {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/guest.cpp");
    let source = std::fs::read_to_string(source).unwrap();
    let mark = format!("// LINE: {name}");
    source.lines().position(|line| line.ends_with(&mark)).unwrap() as u32 + 1
}

fn is_write_to_null(frame: &Frame) -> bool {
    frame.function.as_deref() == Some("write_to_null")
        && frame.file.as_deref().is_some_and(|file| file.ends_with("guest.cpp"))
        && frame.line == Some(line_of("write_to_null"))
}

fn a_fault_has_its_function_file_and_line(guest: &Guest) {
    let fault = guest.fault("write_to_null");
    let place = fault.place();
    assert!(is_write_to_null(&place[0]), "{place:?}");
    assert_eq!(place[0].address, fault.pc);
    assert_eq!(place[0].module, guest.path);
    assert_eq!(fault.frames()[0], place[0]);
}

fn the_guests_function_below_abort_is_named(guest: &Guest) {
    let function = guest.function("fail_assertion");
    let guard = Guard::new().within(guest.code());
    let frames = unsafe { guard.call(|| function()) }.unwrap_err().frames();
    let named = |name: &str| frames.iter().any(|f| f.function.as_deref() == Some(name));
    assert!(named("fail_assertion"), "{frames:#?}");
}

/// The functions of a file that a fault leads through, innermost first.
fn functions_in(file: &str, fault: &Fault) -> Vec<String> {
    let mut frames = fault.frames();
    frames.retain(|frame| frame.file.as_deref().is_some_and(|path| path.ends_with(file)));
    frames.into_iter().filter_map(|frame| frame.function).collect()
}

fn what_throws_is_named(guest: &Guest) {
    for function in ["throw_runtime_error", "throw_int", "rethrow_pointer", "throw_again"] {
        let fault = guest.fault(function);
        assert_eq!(functions_in("guest.cpp", &fault), [function], "{:#?}", fault.frames());
        assert_eq!(fault.place(), []);
    }
}

fn an_exception_keeps_its_place_while_destructors_throw(guest: &Guest) {
    let fault = guest.fault("throw_past_a_throwing_destructor");
    assert_eq!(functions_in("guest.cpp", &fault), ["throw_past_a_throwing_destructor"]);
}

fn an_exception_keeps_its_place_while_a_guard_in_a_destructor_catches(guest: &Guest) {
    struct Inner<'a> {
        guest: &'a Guest,
        functions: Vec<String>,
    }
    unsafe extern "C-unwind" fn catch_another(argument: *mut c_void) {
        let inner = unsafe { &mut *argument.cast::<Inner>() };
        let fault = inner.guest.fault("throw_runtime_error");
        inner.functions = functions_in("guest.cpp", &fault);
    }
    let mut inner = Inner { guest, functions: Vec::new() };
    let argument = (&raw mut inner).cast();
    let throw = guest.symbol("throw_and_call_back");
    let throw: unsafe extern "C-unwind" fn(Entry, *mut c_void) =
        unsafe { std::mem::transmute(throw) };
    let fault = unsafe { call(|| throw(catch_another, argument)) }.unwrap_err();
    assert_eq!(inner.functions, ["throw_runtime_error"]);
    assert_eq!(functions_in("guest.cpp", &fault), ["throw_and_call_back"]);
}

fn an_exception_out_of_a_cleanup_has_its_own_place(guest: &Guest) {
    let cleanup = guest::open("cleanup");
    let call_and_clean_up = cleanup.symbol("call_and_clean_up");
    unsafe {
        let call_and_clean_up: unsafe extern "C-unwind" fn(guest::Function, *mut c_void, usize) =
            std::mem::transmute(call_and_clean_up);
        let (first, second) = (guest.function("throw_int"), guest.symbol("throw_runtime_error"));
        let fault = call(|| call_and_clean_up(first, second, 0)).unwrap_err();
        assert_eq!(fault.exception.unwrap().type_name(), "St13runtime_error");
        assert_eq!(functions_in("guest.cpp", &fault), ["throw_runtime_error"]);
        assert_eq!(functions_in("cleanup.c", &fault), ["clean_up", "call_and_clean_up"]);
    }
}

fn what_panics_in_another_runtime_is_named() {
    let fault = guest::open("foreign").fault("foreign_panic");
    assert_eq!(functions_in("foreign.rs", &fault), ["foreign_panic"], "{:#?}", fault.frames());
}

fn bias_of(guest: &Guest) -> usize {
    let mut module = unsafe { std::mem::zeroed::<libc::Dl_info>() };
    let address = guest.symbol("write_to_null");
    assert_ne!(unsafe { libc::dladdr(address as *const c_void, &mut module) }, 0);
    module.dli_fbase as usize
}

fn a_file_that_the_caller_knows_is_resolved(guest: &Guest) {
    let fault = guest.fault("write_to_null");
    let other = std::env::temp_dir().join(format!("crash-guard-{}.so", std::process::id()));
    std::fs::copy(&guest.path, &other).unwrap();
    let frames = resolve(&other, bias_of(guest), fault.pc, false);
    std::fs::remove_file(&other).unwrap();
    assert!(is_write_to_null(&frames[0]), "{frames:?}");
    assert_eq!(frames[0].module, other);
}

#[inline(never)]
fn fault_in_rust() {
    unsafe { (8 as *mut u8).write_volatile(1) };
}

fn a_rust_function_is_demangled() {
    let frames = unsafe { call(fault_in_rust) }.unwrap_err().frames();
    let here = |frame: &Frame| {
        frame.function.as_deref().is_some_and(|name| name.ends_with("fault_in_rust"))
            && frame.line.is_some()
    };
    assert!(frames.iter().any(here), "{frames:#?}");
}

fn files_that_are_missing_or_empty_give_bare_frames(guest: &Guest) {
    let missing = resolve(Path::new("/nowhere/at/all"), 16, 32, true);
    assert_eq!((missing.len(), missing[0].address, missing[0].bias), (1, 32, 16));
    assert_eq!((&missing[0].function, &missing[0].file, missing[0].line), (&None, &None, None));
    let empty = std::env::temp_dir().join(format!("crash-guard-empty-{}", std::process::id()));
    std::fs::write(&empty, []).unwrap();
    assert_eq!(resolve(&empty, 0, 0x1000, false)[0].function, None);
    std::fs::remove_file(&empty).unwrap();
    // Addresses outside everything.
    assert_eq!(resolve(&guest.path, 0, usize::MAX, false)[0].function, None);
    assert_eq!(resolve(&guest.path, usize::MAX, 0, true).len(), 1);
}

fn rotten_files_give_less_and_never_panic(guest: &Guest) {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(3); // also where a catch_unwind would hide it
    }));
    let good = std::fs::read(&guest.path).unwrap();
    let address = guest.symbol("write_to_null") as usize - bias_of(guest);
    let rotten = std::env::temp_dir().join(format!("crash-guard-rotten-{}", std::process::id()));
    let step = if is_emulated() { 1999 } else { 97 };
    for position in (0..good.len()).step_by(step) {
        let mut bytes = good.clone();
        for (distance, byte) in bytes[position..].iter_mut().take(3).enumerate() {
            *byte = byte.wrapping_mul(31).wrapping_add(0x55 + distance as u8);
        }
        std::fs::write(&rotten, &bytes).unwrap();
        assert!(!resolve(&rotten, 0, address, false).is_empty());
        if position % (step * 8) == 0 {
            std::fs::write(&rotten, &good[..position]).unwrap();
            assert!(!resolve(&rotten, 0, address, true).is_empty());
        }
    }
    std::fs::remove_file(&rotten).unwrap();
}
