//! What a guest wants done at its end: the destructors it registers with `__cxa_atexit`.
//!
//! The C library runs them inside `dlclose`, under the loader's lock and without knowing which objects live on in the
//! next version. So each guest's imports of `__cxa_atexit` are diverted to [`register`], and the destructors are run by
//! the one who retires the version: under the guard, one by one, and not for objects whose content was carried on.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A destructor that a guest has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) function: usize,
    pub(crate) object: usize,
    /// The `__dso_handle` it was registered with, an address inside the guest's image.
    image: usize,
}

struct Node {
    exit: Exit,
    next: *mut Node,
}

/// All that is registered, the newest first. Guests push without a lock: the deadline may interrupt them here.
static REGISTERED: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());
/// Held by whoever takes nodes out.
static TAKING: Mutex<()> = Mutex::new(());

/// Stands in for `__cxa_atexit` in guests (Itanium C++ ABI, 3.3.6.3).
extern "C" fn register(function: usize, object: usize, image: usize) -> c_int {
    push(Box::new(Node { exit: Exit { function, object, image }, next: ptr::null_mut() }));
    0
}

fn push(node: Box<Node>) {
    let node = Box::into_raw(node);
    let mut head = REGISTERED.load(Ordering::Relaxed);
    loop {
        // SAFETY: `node` is ours alone until the exchange below publishes it.
        unsafe { (*node).next = head };
        match REGISTERED.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// Takes out what the image in `range` has registered, in the order in which it is to be run: the last one first.
pub(crate) fn take_exits(range: &Range<usize>) -> Vec<Exit> {
    let _taking = TAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut node = REGISTERED.swap(ptr::null_mut(), Ordering::Acquire);
    let mut taken = Vec::new();
    let mut others = Vec::new();
    while !node.is_null() {
        // SAFETY: nodes come from `Box::into_raw`, and the swap made the whole list ours.
        let owned = unsafe { Box::from_raw(node) };
        node = owned.next;
        if range.contains(&owned.exit.image) {
            taken.push(owned.exit.clone());
        } else {
            others.push(owned);
        }
    }
    // Oldest first, so that the order of the rest stays.
    others.into_iter().rev().for_each(push);
    taken
}

/// Puts back what was taken and not run.
pub(crate) fn return_exits(exits: Vec<Exit>) {
    for exit in exits.into_iter().rev() {
        push(Box::new(Node { exit, next: ptr::null_mut() }));
    }
}

/// Drops what the image in `range` has registered: it failed, and its destructors are not run.
pub(crate) fn forget_exits(range: &Range<usize>) {
    drop(take_exits(range));
}

/// Diverts a guest's import slots of `__cxa_atexit` to this module; false where one cannot be written.
///
/// Done before any code of the guest runs. The slots lie in memory that the loader has made read-only (RELRO); it is
/// made writable for the one store and read-only again.
pub(crate) fn divert(slots: &[usize]) -> bool {
    let target =
        (register as extern "C" fn(usize, usize, usize) -> c_int as *const c_void) as usize;
    slots.iter().all(|&slot| {
        // SAFETY: the slot is a word of the guest's own global offset table, found by its relocations; no Rust reference
        // to it exists, and the guest does not run yet. The page's protection comes back when `_writable` is dropped.
        unsafe {
            let Ok(_writable) = region::protect_with_handle(
                slot as *const usize,
                size_of::<usize>(),
                region::Protection::READ_WRITE,
            ) else {
                return false;
            };
            ptr::write_volatile(slot as *mut usize, target);
        }
        true
    })
}
