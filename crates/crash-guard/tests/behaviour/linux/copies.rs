//! A second copy of this crate, in a library that was loaded later.

use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr::null_mut;

use crash_guard::{Config, Entry, call, install};

use super::case::cases;
use super::guest::Guest;

cases! {
    Plain two_copies_get_their_own_faults .without_installing();
    Plain a_copy_in_a_library_guards_threads_older_than_itself .without_installing();
}

struct Library {
    install: extern "C" fn() -> bool,
    call: unsafe extern "C-unwind" fn(Entry, *mut c_void) -> i32,
}

/// The example, which `cargo test` builds unless it is told to build one test alone.
fn library() -> Option<Library> {
    let program = std::env::current_exe().unwrap();
    let path: PathBuf = program.parent()?.parent()?.join("examples/libguarded_library.so");
    if !path.exists() {
        let required = std::env::var("REQUIRE_TOOLS").is_ok_and(|value| value == "1");
        assert!(!required, "{} is not built", path.display());
        println!("skipped: {} is not built", path.display());
        return None;
    }
    let guest = Guest::open(&path);
    unsafe {
        Some(Library {
            install: std::mem::transmute::<*mut c_void, extern "C" fn() -> bool>(
                guest.symbol("library_install"),
            ),
            call: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C-unwind" fn(Entry, *mut c_void) -> i32,
            >(guest.symbol("library_call")),
        })
    }
}

unsafe extern "C-unwind" fn fault(_: *mut c_void) {
    unsafe { (8 as *mut u8).write_volatile(1) };
}

fn two_copies_get_their_own_faults() {
    let Some(library) = library() else { return };
    let ours = || unsafe { crash_guard::call_fn(fault, null_mut()) }.unwrap_err().depth;
    let _installed = install(Config::new()).unwrap();
    assert_eq!(ours(), 1);
    assert!((library.install)()); // its handler is before ours now
    for _ in 0..100 {
        assert_eq!(ours(), 1);
        assert_eq!(unsafe { (library.call)(fault, null_mut()) }, libc::SIGSEGV);
        let outer = unsafe {
            call(|| {
                assert_eq!((library.call)(fault, null_mut()), libc::SIGSEGV);
                fault(null_mut());
            })
        };
        assert_eq!(outer.unwrap_err().depth, 1);
    }
}

fn a_copy_in_a_library_guards_threads_older_than_itself() {
    let (send, receive) = std::sync::mpsc::channel::<Library>();
    let older = std::thread::spawn(move || {
        let Ok(library) = receive.recv() else { return };
        for _ in 0..1000 {
            assert_eq!(unsafe { (library.call)(fault, null_mut()) }, libc::SIGSEGV);
        }
    });
    let Some(library) = library() else { return };
    assert!((library.install)());
    send.send(library).unwrap();
    older.join().unwrap();
}
