//! The guarded call: a landing is opened on the stack, the frame in assembly calls the guest,
//! and whichever way that ends the landing is closed again.

use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, offset_of};
use core::sync::atomic::{Ordering, compiler_fence};

use super::exception::{self, UnwindException};
use super::thread::{self, RECENT, Thread};
use super::{arch, deadline};
use crate::{Entry, Fault, Guard, Mask};

/// An open guard or barrier. It lies in the frame of the function that opened it.
#[repr(C)]
pub(super) struct Landing {
    /// The stack pointer to resume with: set by the assembly while its frame stands, else 0.
    pub(super) sp: usize,
    /// Set by the assembly when an exception was caught.
    exception: *mut UnwindException,
    /// The next one out.
    pub(super) outer: *mut Landing,
    /// Made from the address and the thread's key, so that a landing which the guest has
    /// overwritten, or which a forked child inherited, is not used.
    canary: usize,
    /// The settings; null for a barrier.
    pub(super) guard: *const Guard,
    pub(super) depth: u32,
    /// The caller's `errno`.
    pub(super) errno: c_int,
    /// Says which timer is this landing's, 0 for none. Set only if the guard has a deadline, and
    /// so are the next two.
    pub(super) token: usize,
    pub(super) timer: c_int,
    pub(super) expired: bool,
    /// The caller's signal mask, with [`Mask::Entry`].
    pub(super) mask: u64,
    /// Written by the handler before it resumes at the landing.
    pub(super) fault: MaybeUninit<Fault>,
}

const _: () = assert!(offset_of!(Landing, sp) == 0 && offset_of!(Landing, exception) == 8);

impl Landing {
    /// # Safety
    ///
    /// `landing` must be readable.
    pub(super) unsafe fn is_sound(landing: *const Self, thread: &Thread) -> bool {
        // SAFETY: the caller promises that it is readable.
        unsafe { (*landing).canary == landing as usize ^ thread.key }
    }

    pub(super) fn is_barrier(&self) -> bool {
        self.guard.is_null()
    }

    /// # Safety
    ///
    /// `landing` must be an open landing.
    pub(super) unsafe fn has_deadline(landing: *const Self) -> bool {
        // SAFETY: the guard of an open landing is null or lives.
        unsafe { (*landing).guard.as_ref().is_some_and(|guard| guard.deadline.is_some()) }
    }

    /// Whether a link of the chain leads to no landing: the chain's end, or a thread that has
    /// none yet.
    pub(super) fn is_none(landing: *const Self) -> bool {
        landing.is_null() || landing == Self::END
    }

    /// The end of the chain: above every landing.
    pub(super) const END: *mut Self = usize::MAX as *mut Self;
}

/// How a call through the assembly ended, besides 0 for a plain return.
pub(super) const FAULTED: u32 = 1;
pub(super) const THREW: u32 = 2;

unsafe extern "C-unwind" {
    /// Calls `entry(argument)`, with the landing's `sp` set meanwhile. Returns once.
    fn crash_guard_v0_1_call(entry: Entry, argument: *mut c_void, landing: *mut c_void) -> u32;
}

/// The guarded call with the usual settings.
///
/// # Safety
///
/// As [`crate::call_fn`].
#[inline(never)]
pub(crate) unsafe fn call(entry: Entry, argument: *mut c_void) -> Result<(), Fault> {
    static USUAL: Guard = Guard::new();
    let mut landing = MaybeUninit::uninit();
    // SAFETY: the landing is closed by `_open` before its memory goes, however the call ends:
    // `_open` is dropped on return and on unwinding, and a landing whose frame was cut off by a
    // longjmp is recognised by its address.
    unsafe {
        let open = Open::new(landing.as_mut_ptr(), &USUAL);
        let end = crash_guard_v0_1_call(entry, argument, open.landing.cast());
        finish(open, end)
    }
}

/// The guarded call with settings of its own.
///
/// # Safety
///
/// As [`crate::call_fn`].
#[inline(never)]
pub(crate) unsafe fn call_with(
    guard: &Guard,
    entry: Entry,
    argument: *mut c_void,
) -> Result<(), Fault> {
    let mut landing = MaybeUninit::<Landing>::uninit();
    // SAFETY: as in `call`; `guard` outlives the landing.
    unsafe {
        // Whoever sees the landing sees a token, once it is open.
        (&raw mut (*landing.as_mut_ptr()).token).write(0);
        let open = Open::new(landing.as_mut_ptr(), guard);
        let _timer = Timer(open.landing);
        if guard.mask == Mask::Entry {
            (*open.landing).mask = thread::current_mask();
        }
        if let Some(after) = guard.deadline
            && let Err(errno) = deadline::arm(open.landing, after)
        {
            return Err(deadline::unarmed(&*open.thread, errno));
        }
        let end = crash_guard_v0_1_call(entry, argument, open.landing.cast());
        finish(open, end)
    }
}

/// Runs `f` with a landing at which faults are passed on.
///
/// Never inlined: landings are told apart by their addresses, so that each needs a frame of its
/// own.
#[inline(never)]
pub(crate) fn barrier<R>(f: impl FnOnce() -> R) -> R {
    let mut landing = MaybeUninit::uninit();
    // SAFETY: as in `call`.
    let open = unsafe { Open::new(landing.as_mut_ptr(), core::ptr::null()) };
    let value = f();
    let thread = open.thread;
    drop(open);
    // SAFETY: `thread` is the calling thread's block.
    if unsafe { (*thread).deadline_waits } {
        deadline::deliver_waiting();
    }
    value
}

/// Keeps a landing open.
struct Open {
    thread: *mut Thread,
    landing: *mut Landing,
}

impl Open {
    /// # Safety
    ///
    /// `landing` must point to memory that outlives the value, in the frame of the caller, and
    /// `guard` must be null or outlive the value.
    #[inline(always)]
    unsafe fn new(landing: *mut Landing, guard: *const Guard) -> Self {
        let thread = arch::thread();
        // SAFETY: `thread` is the calling thread's block and `landing` has room for a landing.
        // The handler may look at any instruction: the fences keep the landing complete before
        // it is seen, and visible before what it guards begins.
        unsafe {
            let mut outer = (*thread).innermost;
            // No live landing lies below this one's end, and neither does the end of the chain,
            // but null does: the thread is new.
            if outer < landing.add(1) {
                outer = prepared(thread, landing);
            }
            let depth = (*thread).depth + 1;
            (&raw mut (*landing).sp).write(0);
            (&raw mut (*landing).outer).write(outer);
            (&raw mut (*landing).canary).write(landing as usize ^ (*thread).key);
            (&raw mut (*landing).guard).write(guard);
            (&raw mut (*landing).depth).write(depth);
            (&raw mut (*landing).errno).write(*(*thread).errno);
            compiler_fence(Ordering::SeqCst);
            (*thread).innermost = landing;
            (*thread).depth = depth;
            (*thread).recent[depth as usize % RECENT] = landing;
            compiler_fence(Ordering::SeqCst);
        }
        Self { thread, landing }
    }
}

impl Drop for Open {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `new` promised that the landing is still there, and the thread is the same.
        unsafe {
            compiler_fence(Ordering::SeqCst);
            (*self.thread).innermost = (*self.landing).outer;
            (*self.thread).depth = (*self.landing).depth - 1;
            compiler_fence(Ordering::SeqCst);
        }
    }
}

/// Deletes the timer of a landing, if `arm` has set one.
struct Timer(*mut Landing);

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the landing is still there, in the frame of the function that has the timer.
        unsafe { discard(self.0) };
    }
}

/// Frees what a landing holds in the kernel when it will not be used any more.
///
/// # Safety
///
/// `landing` must be an opened landing of the calling thread.
pub(super) unsafe fn discard(landing: *mut Landing) {
    // SAFETY: the caller promises that the landing was opened, so that `guard` is set.
    unsafe {
        if Landing::has_deadline(landing) && (*landing).token != 0 {
            deadline::disarm(landing);
        }
    }
}

#[inline(always)]
unsafe fn finish(open: Open, end: u32) -> Result<(), Fault> {
    if end == 0 {
        return Ok(());
    }
    // SAFETY: `end` comes from the assembly, called with this landing.
    Err(unsafe { landed(&open, end) })
}

/// The way out of an abandoned call. Nothing here allocates after a signal.
#[cold]
#[inline(never)]
unsafe fn landed(open: &Open, end: u32) -> Fault {
    // SAFETY: FAULTED is returned only by way of the handler, which has written `fault`; THREW
    // only after the personality caught the exception that the assembly stored.
    unsafe {
        let fault = if end == FAULTED {
            (*open.landing).fault.assume_init_read()
        } else {
            exception::take((*open.landing).exception, &*open.thread)
        };
        *(*open.thread).errno = (*open.landing).errno;
        fault
    }
}

/// The chain for a landing about to be opened, once what is in the way has been seen to.
#[cold]
#[inline(never)]
unsafe fn prepared(thread: *mut Thread, opening: *mut Landing) -> *mut Landing {
    // SAFETY: `thread` is the calling thread's block.
    unsafe {
        if (*thread).id == 0 {
            thread::prepare(thread);
        }
        without_stale(thread, opening)
    }
}

/// Forgets landings whose frames a guest's `longjmp` has cut off, before another is opened: one
/// that would overlap it, or that lies below it on the thread's own stack.
unsafe fn without_stale(thread: *mut Thread, opening: *mut Landing) -> *mut Landing {
    // SAFETY: `thread` is the calling thread's block; `opening` is on the stack now in use.
    unsafe {
        let on_own_stack = (*thread).owns(opening as usize);
        let is_stale = |landing: *mut Landing| {
            let overlaps = (landing as usize).abs_diff(opening as usize) < size_of::<Landing>();
            let below = landing < opening && on_own_stack && (*thread).owns(landing as usize);
            overlaps || below
        };
        let (live, depth) = first_live(&*thread, is_stale, |stale| {
            if stale != opening {
                discard(stale);
            }
        });
        (*thread).depth = depth;
        (*thread).innermost = live;
        live
    }
}

/// The innermost landing whose frame still stands when the stack pointer is `sp`. A stale one
/// lies wholly below it on the thread's own stack. Stale landings are handed to `stale`.
///
/// # Safety
///
/// `thread` must be the calling thread's block.
pub(super) unsafe fn innermost_above(
    thread: &Thread,
    sp: usize,
    stale: impl FnMut(*mut Landing),
) -> *mut Landing {
    let on_own_stack = thread.owns(sp);
    let is_stale = |landing: *mut Landing| {
        landing as usize + size_of::<Landing>() <= sp
            && on_own_stack
            && thread.owns(landing as usize)
    };
    // SAFETY: the caller passes the calling thread's block.
    unsafe { first_live(thread, is_stale, stale) }.0
}

/// The innermost landing that is not stale, with its depth. Stale landings that can still be
/// read are handed to `stale`.
unsafe fn first_live(
    thread: &Thread,
    is_stale: impl Fn(*mut Landing) -> bool,
    mut stale: impl FnMut(*mut Landing),
) -> (*mut Landing, u32) {
    let mut landing = thread.innermost;
    let mut depth = thread.depth;
    while !Landing::is_none(landing) && is_stale(landing) {
        // SAFETY: a stale landing lies on the stack in use or below it, where it once was
        // written, and is believed only if its canary is right.
        unsafe {
            if Landing::is_sound(landing, thread) {
                stale(landing);
            }
        }
        depth -= 1;
        let next = thread.recent[depth as usize % RECENT];
        if depth == 0 || next <= landing {
            return (Landing::END, 0);
        }
        // SAFETY: a landing that is not stale lies above those on a stack in use.
        if !is_stale(next) && unsafe { !Landing::is_sound(next, thread) || (*next).depth != depth }
        {
            return (Landing::END, 0);
        }
        landing = next;
    }
    (landing, depth)
}
