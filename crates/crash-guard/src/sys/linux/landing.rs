//! The guarded call: the frame in assembly opens a landing in itself, calls the guest, and
//! closes the landing again, whichever way that ends.

use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, offset_of};
use core::ptr::{null, null_mut};
use core::sync::atomic::{Ordering, compiler_fence};

use super::thread::{self, RECENT, Thread};
use super::thrown::Thrown;
use super::{arch, deadline, exception};
use crate::{Dispatch, Entry, Fault, Guard, Mask};

/// An open guard or barrier.
///
/// A guard's is the lowest part of the assembly's frame, so that its address is the stack
/// pointer to resume with. It is on the chain exactly while that frame is complete and the guest
/// runs. A barrier's lies in the frame of the function that opened it.
#[repr(C)]
pub(super) struct Landing {
    /// What the assembly saves beside registers.
    control: [u64; 2],
    /// The next one out.
    pub(super) outer: *mut Landing,
    /// Made from the address and the thread's key, so that a landing which the guest has
    /// overwritten, or which a forked child inherited, is not used.
    canary: usize,
    /// The [`Guard`] that says what the call is to be like, which any number of calls share and
    /// nothing writes to; or the call's own [`Terms`], marked as [`OWN`]; null for a barrier.
    settings: *const c_void,
    /// Where the handler writes the fault. Of an exception there is a [`Thrown`] there, in which
    /// the assembly leaves its address.
    pub(super) fault: *mut Fault,
    pub(super) depth: u32,
    /// The caller's `errno`.
    errno: c_int,
}

/// Where the assembly finds a landing's fields.
pub(super) const OUTER: usize = offset_of!(Landing, outer);
pub(super) const CANARY: usize = offset_of!(Landing, canary);
pub(super) const SETTINGS: usize = offset_of!(Landing, settings);
pub(super) const FAULT: usize = offset_of!(Landing, fault);
pub(super) const DEPTH: usize = offset_of!(Landing, depth);
pub(super) const ERRNO: usize = offset_of!(Landing, errno);
/// With it the stack stays aligned on x86_64.
const _: () = assert!(size_of::<Landing>() == 56);
/// Stored in pairs on AArch64.
const _: () = assert!(FAULT == SETTINGS + 8 && ERRNO == DEPTH + 4);

impl Landing {
    /// # Safety
    ///
    /// `landing` must be readable.
    pub(super) unsafe fn is_sound(landing: *const Self, thread: &Thread) -> bool {
        // SAFETY: the caller promises that it is readable.
        unsafe { (*landing).canary == landing as usize ^ thread.key }
    }

    pub(super) fn is_barrier(&self) -> bool {
        self.settings.is_null()
    }

    /// What the call is to be like.
    ///
    /// # Safety
    ///
    /// This must be a sound landing whose frame stands, and no barrier.
    pub(super) unsafe fn guard(&self) -> &Guard {
        let terms = self.terms();
        // SAFETY: the caller promises that the call has not ended, and what `settings` leads to
        // outlives it.
        unsafe { if terms.is_null() { &*self.settings.cast::<Guard>() } else { &(*terms).guard } }
    }

    /// What belongs to this call alone; null for a barrier, and for a call that needs nothing of
    /// its own.
    pub(super) fn terms(&self) -> *mut Terms {
        let is_own = self.settings.addr() & OWN != 0;
        if is_own { self.settings.wrapping_byte_sub(OWN).cast_mut().cast() } else { null_mut() }
    }

    /// Whether a link of the chain leads to no landing: the chain's end, or a thread that has
    /// none yet.
    pub(super) fn is_none(landing: *const Self) -> bool {
        landing.is_null() || landing == Self::END
    }

    /// The end of the chain: above every landing.
    pub(super) const END: *mut Self = usize::MAX as *mut Self;
}

/// What belongs to one call alone: its timer, or its mask.
pub(super) struct Terms {
    guard: Guard,
    /// The caller's signal mask, with [`Mask::Entry`].
    pub(super) mask: u64,
    /// Says which timer is this call's; 0 for none.
    pub(super) token: usize,
    pub(super) timer: c_int,
    /// Whether the deadline passed under a barrier.
    pub(super) expired: bool,
    /// How often the deadline may still pass before the call has begun.
    pub(super) retries: u8,
}

/// Added to a landing's `settings`, which are aligned.
const OWN: usize = 1;
const _: () = assert!(align_of::<Guard>() > OWN && align_of::<Terms>() > OWN);

/// How a call through the assembly ended; two registers.
#[repr(C)]
struct End {
    /// What was returned, if something was.
    value: usize,
    /// 0 for a plain return, or one of those below.
    how: usize,
}

pub(super) const FAULTED: usize = 1;
pub(super) const THREW: usize = 2;

unsafe extern "C-unwind" {
    /// Calls `entry(argument, number)` under a landing with these `settings` and place for a
    /// `Fault`. Returns once.
    fn crash_guard_v0_1_call(
        argument: *mut c_void,
        number: c_int,
        entry: *const c_void,
        settings: *const c_void,
        fault: *mut c_void,
    ) -> End;
}

type Call = unsafe extern "C-unwind" fn(
    *mut c_void,
    c_int,
    *const c_void,
    *const c_void,
    *mut c_void,
) -> End;

/// The assembly as code that is inlined into other crates can reach it.
static CALL: Call = crash_guard_v0_1_call;

/// The settings of a call without any.
const USUAL: &Guard = &Guard::new();

/// The guarded call with the usual settings.
///
/// # Safety
///
/// As [`crate::call_fn`].
#[inline]
pub(crate) unsafe fn call(entry: Entry, argument: *mut c_void) -> Result<(), Fault> {
    // SAFETY: as the caller promises.
    unsafe { call_with(USUAL, entry, argument) }
}

/// The guarded call with settings of its own.
///
/// # Safety
///
/// As [`crate::call_fn`].
#[inline]
pub(crate) unsafe fn call_with(
    guard: &Guard,
    entry: Entry,
    argument: *mut c_void,
) -> Result<(), Fault> {
    // SAFETY: as the caller promises; what is passed beside the argument is in a register that
    // `entry` does not read, and what the register of the result holds is not used.
    unsafe { enter(guard, entry as *const c_void, argument, 0) }.map(drop)
}

/// The same for a function that is given a number, and returns one.
///
/// # Safety
///
/// As [`crate::call_fn`].
#[inline]
pub(crate) unsafe fn dispatch(
    guard: &Guard,
    entry: Dispatch,
    argument: *mut c_void,
    number: c_int,
) -> Result<c_int, Fault> {
    // SAFETY: as the caller promises. Above an `int` a register of a result may hold anything.
    unsafe { enter(guard, entry as *const c_void, argument, number) }.map(|value| value as c_int)
}

/// Calls `entry` through the assembly, and gives what the register of a result holds then.
///
/// # Safety
///
/// `entry` must be a function of the C ABI that can be called with these two, or with the first
/// alone, and with which the caller keeps the promise of [`crate::call_fn`].
#[inline]
unsafe fn enter(
    guard: &Guard,
    entry: *const c_void,
    argument: *mut c_void,
    number: c_int,
) -> Result<usize, Fault> {
    let mut fault = MaybeUninit::<Fault>::uninit();
    let place = fault.as_mut_ptr();
    // SAFETY: the guard and `fault` outlive the call, and the latter is written in the way `landed`
    // asks for; the rest is promised by the caller.
    let end = unsafe {
        if guard.deadline.is_none() && guard.mask != Mask::Entry {
            CALL(argument, number, entry, (&raw const *guard).cast(), place.cast())
        } else {
            enter_on_terms(argument, number, entry, guard, place)
        }
    };
    // SAFETY: as above.
    if end.how == 0 { Ok(end.value) } else { Err(unsafe { landed(&fault, end.how) }) }
}

/// A call with a timer, or with a mask of its own.
///
/// # Safety
///
/// As [`enter`]; `fault` must outlive the call.
#[cold]
#[inline(never)]
unsafe fn enter_on_terms(
    argument: *mut c_void,
    number: c_int,
    entry: *const c_void,
    guard: &Guard,
    fault: *mut Fault,
) -> End {
    let mask = if guard.mask == Mask::Entry { thread::current_mask() } else { 0 };
    let guard = guard.clone();
    let after = guard.deadline;
    let mut terms = Terms { guard, mask, token: 0, timer: 0, expired: false, retries: 100 };
    let terms = &raw mut terms;
    // SAFETY: `terms` outlives the call and the timer; the rest is promised by the caller.
    unsafe {
        let _timer = match after {
            Some(after) => match deadline::Timer::start(terms, after) {
                Ok(timer) => Some(timer),
                Err(errno) => {
                    fault.write(deadline::unarmed(errno));
                    return End { value: 0, how: FAULTED };
                }
            },
            None => None,
        };
        CALL(argument, number, entry, terms.wrapping_byte_add(OWN).cast(), fault.cast())
    }
}

/// The way out of an abandoned call. Nothing here allocates after a signal.
///
/// # Safety
///
/// `end` and `fault` must be what a call through the assembly has left.
#[cold]
#[inline(never)]
unsafe fn landed(fault: &MaybeUninit<Fault>, end: usize) -> Fault {
    // SAFETY: FAULTED is returned only by way of the handler, which has written the fault, or
    // where it was written instead; THREW only after the personality caught an exception: its
    // search has written the place of a `Thrown`, except for the address that the assembly stored.
    unsafe {
        if end == FAULTED {
            return fault.assume_init_read();
        }
        let thread = arch::thread();
        let errno = *(*thread).errno;
        let fault = exception::take(&*fault.as_ptr().cast::<Thrown>(), &*thread);
        *(*thread).errno = errno;
        fault
    }
}

/// Runs `f` with a landing at which faults are passed on.
///
/// Never inlined: landings are told apart by their addresses, so that each needs a frame of its
/// own.
#[inline(never)]
pub(crate) fn barrier<R>(f: impl FnOnce() -> R) -> R {
    let mut landing = MaybeUninit::uninit();
    // SAFETY: the landing is closed before its memory goes, on return and on unwinding, and one
    // whose frame was cut off by a longjmp is recognised by its address.
    let open = unsafe { Open::new(&mut landing) };
    let value = f();
    drop(open);
    deadline::deliver_waiting();
    value
}

/// Keeps a barrier's landing open.
struct Open(*mut Landing);

impl Open {
    /// # Safety
    ///
    /// `landing` must outlive the value, and be alone in the frame of the caller.
    #[inline(never)]
    unsafe fn new(landing: &mut MaybeUninit<Landing>) -> Self {
        let landing = landing.as_mut_ptr();
        let thread = arch::thread();
        // SAFETY: `thread` is the calling thread's block and `landing` has room for a landing.
        // The handler may look at any instruction: the fences keep the landing complete before
        // it is seen, and visible before what it guards begins.
        unsafe {
            let outer = prepared(thread, landing);
            let depth = (*thread).depth + 1;
            landing.write(Landing {
                control: [0; 2],
                outer,
                canary: landing as usize ^ (*thread).key,
                settings: null(),
                fault: null_mut(),
                depth,
                errno: 0,
            });
            compiler_fence(Ordering::SeqCst);
            (*thread).recent[depth as usize % RECENT] = landing;
            (*thread).depth = depth;
            (*thread).innermost = landing;
            compiler_fence(Ordering::SeqCst);
        }
        Self(landing)
    }
}

impl Drop for Open {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: `new` promised that the landing is still there, and the thread is the same.
        unsafe { close(self.0) };
    }
}

/// Takes a landing off the chain.
///
/// # Safety
///
/// `landing` must be an open landing of the calling thread, and those inside it closed.
pub(super) unsafe fn close(landing: *mut Landing) {
    let thread = arch::thread();
    compiler_fence(Ordering::SeqCst);
    // SAFETY: the caller promises an open landing.
    unsafe {
        (*thread).innermost = (*landing).outer;
        (*thread).depth = (*landing).depth - 1;
    }
    compiler_fence(Ordering::SeqCst);
}

/// Frees what a landing holds in the kernel when it will not be used any more.
///
/// # Safety
///
/// `landing` must be a sound landing of the calling thread, whose terms can still be read.
unsafe fn discard(landing: *mut Landing) {
    // SAFETY: the caller promises that the terms can be read.
    unsafe {
        let terms = (*landing).terms();
        if !terms.is_null() && (*terms).token != 0 {
            deadline::disarm(terms);
        }
    }
}

/// The landings inside `landing` are not used any more: frees what they hold, stale ones
/// included. `sp` is where the stack is.
///
/// # Safety
///
/// `landing` must be on the chain of the calling thread, whose block `thread` is.
pub(super) unsafe fn abandon_inside(landing: *mut Landing, sp: usize, thread: &Thread) {
    // SAFETY: the chain is followed as long as canaries are right.
    unsafe {
        let mut inner = innermost_above(thread, sp);
        while inner != landing && !Landing::is_none(inner) && Landing::is_sound(inner, thread) {
            discard(inner);
            inner = (*inner).outer;
        }
    }
}

/// The chain for a landing about to be opened, once what is in the way has been seen to. Called
/// by the assembly as well.
pub(super) unsafe extern "C" fn prepared(
    thread: *mut Thread,
    opening: *mut Landing,
) -> *mut Landing {
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
        let (live, depth) = first_live(&*thread, is_stale);
        (*thread).depth = depth;
        (*thread).innermost = live;
        live
    }
}

/// The innermost landing whose frame still stands when the stack pointer is `sp`. A stale one
/// lies wholly below it on the thread's own stack.
///
/// # Safety
///
/// `thread` must be the calling thread's block.
pub(super) unsafe fn innermost_above(thread: &Thread, sp: usize) -> *mut Landing {
    let on_own_stack = thread.owns(sp);
    let is_stale = |landing: *mut Landing| {
        landing as usize + size_of::<Landing>() <= sp
            && on_own_stack
            && thread.owns(landing as usize)
    };
    // SAFETY: the caller passes the calling thread's block.
    unsafe { first_live(thread, is_stale) }.0
}

/// The innermost landing that is not stale, with its depth.
unsafe fn first_live(
    thread: &Thread,
    is_stale: impl Fn(*mut Landing) -> bool,
) -> (*mut Landing, u32) {
    let mut landing = thread.innermost;
    let mut depth = thread.depth;
    while !Landing::is_none(landing) && is_stale(landing) {
        depth = depth.wrapping_sub(1);
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
