//! How much of the heap something takes, counted for each thread alone.

#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTED: Counted = Counted;

struct Counted;

// SAFETY: everything is the system's allocator's but the counting, which does not allocate: the
// counters are constant at first and have no destructor.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(by: isize) {
    let now = NOW.get() + by;
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

/// What something comes to, and how many bytes it had at most at once, beside those before it.
pub fn most_during<T>(something: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let result = something();
    (result, (MOST.get() - before).max(0).cast_unsigned())
}
