//! Which locks abandoned code still holds, and releasing the loader's.

use std::ffi::CString;

use crash_guard::{FaultKind, Held, call, release_loader_lock};

use super::case::cases;
use super::guest::{self, Guest};

cases! {
    WithGuest a_plain_fault_taints_nothing;
    WithGuest a_fault_in_the_allocator_taints_the_heap;
    WithGuest a_fault_in_printf_taints_stdio;
    WithGuest a_fault_in_memcpy_taints_nothing;
    Plain a_fault_in_a_constructor_taints_the_loader_until_it_is_released;
    Plain there_is_nothing_to_release_otherwise;
}

fn a_plain_fault_taints_nothing(guest: &Guest) {
    let taint = guest.fault("write_to_null").taint;
    assert_eq!((taint.heap, taint.stdio, taint.loader), (Held::No, Held::No, Held::No));
}

fn a_fault_in_the_allocator_taints_the_heap(guest: &Guest) {
    let fault = guest.fault("fault_in_malloc");
    assert!(matches!(fault.kind, FaultKind::Access | FaultKind::Abort));
    assert_eq!(fault.taint.heap, Held::Maybe);
    unsafe { libc::_exit(0) }; // the heap is not to be used again
}

fn a_fault_in_printf_taints_stdio(guest: &Guest) {
    let fault = guest.fault("fault_in_printf");
    assert_eq!(fault.kind, FaultKind::Access);
    assert_eq!((fault.taint.stdio, fault.taint.loader), (Held::Yes, Held::No));
    unsafe { libc::_exit(0) }; // standard output stays locked
}

fn a_fault_in_memcpy_taints_nothing(guest: &Guest) {
    type Copy = unsafe extern "C-unwind" fn(*mut std::ffi::c_void);
    let copy: Copy = unsafe { std::mem::transmute(guest.symbol("fault_in_memcpy")) };
    let mut space = vec![0u8; 4000];
    let fault = unsafe { crash_guard::call_fn(copy, space.as_mut_ptr().cast()) }.unwrap_err();
    let taint = fault.taint;
    assert_eq!((taint.heap, taint.stdio, taint.loader), (Held::No, Held::No, Held::No));
}

fn a_fault_in_a_constructor_taints_the_loader_until_it_is_released() {
    let path = CString::new(guest::built("constructor").to_str().unwrap()).unwrap();
    let fault = unsafe { call(|| libc::dlopen(path.as_ptr(), libc::RTLD_NOW)) }.unwrap_err();
    assert_eq!((fault.kind, fault.taint.loader), (FaultKind::Access, Held::Yes));
    assert!(unsafe { release_loader_lock() } >= 1);
    // Before, neither the thread's start nor the loading in it would have come to an end.
    let thread = std::thread::spawn(|| {
        let guest = guest::open("guest_O0");
        guest.fault("write_to_null").taint.loader
    });
    assert_eq!(thread.join().unwrap(), Held::No);
    assert_eq!(unsafe { release_loader_lock() }, 0);
}

fn there_is_nothing_to_release_otherwise() {
    assert_eq!(unsafe { release_loader_lock() }, 0);
}
