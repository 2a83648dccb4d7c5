//! What is kept for each thread: the open guards, and what the handler must know without asking.

use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, offset_of};
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::Once;

use super::disposition;
use super::landing::{Landing, Terms};

/// One thread's block, in thread-local storage that starts as zeros.
///
/// The handler and the code it interrupts are the only ones to use it, on the same thread.
#[repr(C)]
pub(super) struct Thread {
    /// The innermost open guard or barrier, the chain's end if there is none, and null before
    /// the thread's first.
    pub(super) innermost: *mut Landing,
    /// How many are open, the stale ones included.
    pub(super) depth: u32,
    /// The kernel's number of the thread; 0 until its first guard. In a forked or vforked child
    /// that shares this block it is another than the kernel's answer.
    pub(super) id: c_int,
    /// What canaries are made from.
    pub(super) key: usize,
    /// What the C library calls the thread, the owner in its streams' locks.
    pub(super) pthread: usize,
    /// Where this thread's `errno` is.
    pub(super) errno: *mut c_int,
    /// The thread's own stack, without its guard; empty where it could not be learnt.
    pub(super) stack_low: usize,
    pub(super) stack_high: usize,
    /// How many bytes below the stack fault as well.
    pub(super) stack_guard: usize,
    /// The remembered signal mask.
    pub(super) mask: u64,
    /// Set while the handler writes a fault, so that a fault in the handler is not ours.
    pub(super) in_handler: bool,
    /// The terms of the innermost call whose timer runs; the call itself may not have begun.
    pub(super) timed: *mut Terms,
    /// Set when a deadline passed under a barrier and waits for its end.
    pub(super) deadline_waits: bool,
    alternate: *mut c_void,
    alternate_length: usize,
    /// The landing last opened at each depth, modulo the length. When a `longjmp` has cut off
    /// landings their memory is soon overwritten, and this is how to get past them.
    pub(super) recent: [*mut Landing; RECENT],
}

impl Thread {
    /// Whether an address lies in the thread's own stack or its guard.
    pub(super) fn owns(&self, address: usize) -> bool {
        address >= self.stack_low.saturating_sub(self.stack_guard) && address < self.stack_high
    }
}

/// Makes the thread ready for its first guard: learns its stack and mask, unblocks the fault
/// signals (the kernel kills a thread that faults with the signal blocked), and gives it an
/// alternate stack unless it has one that is large enough.
#[cold]
#[inline(never)]
pub(super) fn prepare(thread: *mut Thread) {
    // SAFETY: `errno` is this thread's.
    let errno = unsafe { *libc::__errno_location() };
    let stack = own_stack();
    // SAFETY: `thread` is the calling thread's block; until `id` is set no guard is open on this
    // thread, so that the handler does not look at the other fields.
    unsafe {
        (*thread).pthread = libc::pthread_self() as usize;
        (*thread).errno = libc::__errno_location();
        (*thread).stack_low = stack.range.start;
        (*thread).stack_high = stack.range.end;
        (*thread).stack_guard = stack.guard;
        give_alternate_stack(&mut *thread);
        disposition::unblock_fault_signals();
        (*thread).mask = current_mask();
        set_id(thread);
        (*thread).innermost = Landing::END;
        *(*thread).errno = errno; // the caller's, which a guard restores
    }
}

/// Whether the calling thread has not had a guard yet.
pub(super) fn is_new() -> bool {
    // SAFETY: reads a number from the calling thread's block.
    unsafe { (*super::arch::thread()).id == 0 }
}

/// Makes the calling thread prepare again at its next guard. It keeps its alternate stack.
pub(super) fn renew() {
    let thread = super::arch::thread();
    // SAFETY: `thread` is the calling thread's block, and only a thread without an open guard
    // was new.
    unsafe {
        (*thread).id = 0;
        (*thread).innermost = null_mut();
    }
}

/// Takes the calling thread's mask as the one to restore after faults.
pub(crate) fn remember_mask() {
    let thread = super::arch::thread();
    // SAFETY: `thread` is the calling thread's block, and the field is a plain number.
    unsafe { (*thread).mask = current_mask() };
}

/// In the child of a fork the thread has a new number, and the parent's guards are not its own:
/// the new key makes their canaries wrong.
pub(super) extern "C" fn after_fork() {
    let thread = super::arch::thread();
    // SAFETY: `thread` is the calling thread's block, and the child has this one thread only.
    unsafe {
        if (*thread).id != 0 {
            set_id(thread);
        }
    }
}

/// Sets how large alternate stacks made from now on are; the largest wish counts.
pub(super) fn wish_alternate_stack(length: usize) {
    ALTERNATE_LENGTH.fetch_max(length, Ordering::Relaxed);
}

/// Draws the number that makes canaries unguessable. Guards that are open keep theirs.
pub(super) fn draw_secret() {
    static DRAWN: Once = Once::new();
    DRAWN.call_once(|| {
        let mut secret = 0usize;
        // SAFETY: `secret` has room for the bytes asked for; if the call fails it stays 0, and
        // canaries are then merely easier to guess.
        unsafe { libc::getrandom((&raw mut secret).cast(), size_of::<usize>(), 0) };
        SECRET.store(secret, Ordering::Relaxed);
    });
}

/// The calling thread's signal mask.
pub(super) fn current_mask() -> u64 {
    let mut mask = 0u64;
    // SAFETY: with no new mask the call only writes 8 bytes to `mask`.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_BLOCK,
            null_mut::<u64>(),
            &raw mut mask,
            8usize,
        )
    };
    mask
}

unsafe fn set_id(thread: *mut Thread) {
    // SAFETY: the caller passes the calling thread's block.
    unsafe {
        (*thread).id = libc::gettid();
        (*thread).key = SECRET.load(Ordering::Relaxed) ^ (((*thread).id as usize) << 1 | 1);
    }
}

struct Stack {
    range: Range<usize>,
    guard: usize,
}

fn own_stack() -> Stack {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `attributes` is initialised by the first call and destroyed once, and the other
    // calls only read it and write the places they are given.
    let (low, length, guard) = unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return Stack { range: 0..0, guard: 0 };
        }
        let (mut low, mut length, mut guard) = (null_mut(), 0, 0);
        libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut length);
        libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (low as usize, length, guard)
    };
    // SAFETY: both only return a number.
    let is_main = unsafe { libc::getpid() == libc::gettid() };
    let guard = if is_main { MAIN_STACK_GAP } else { guard.max(page_size()) };
    Stack { range: low..low + length, guard }
}

/// An alternate stack has a page below it that faults, and lives as long as its thread.
unsafe fn give_alternate_stack(thread: &mut Thread) {
    let wish = ALTERNATE_LENGTH.load(Ordering::Relaxed);
    // SAFETY: reads an entry of the auxiliary vector.
    let signal_frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    let page = page_size();
    let length = wish.max(signal_frame + HANDLER_NEEDS).next_multiple_of(page);
    let mut present = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: the mapping is new and the thread's own, the lower page of it stays inaccessible,
    // and the rest is what the kernel is told.
    unsafe {
        if libc::sigaltstack(core::ptr::null(), present.as_mut_ptr()) == 0 {
            let present = present.assume_init();
            if present.ss_flags & libc::SS_DISABLE == 0 && present.ss_size >= length {
                return;
            }
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let mapping = libc::mmap(null_mut(), length + page, libc::PROT_NONE, flags, -1, 0);
        if mapping == libc::MAP_FAILED {
            return; // faults are still caught, only a stack overflow is not
        }
        let stack = libc::stack_t { ss_sp: mapping.add(page), ss_flags: 0, ss_size: length };
        if libc::mprotect(stack.ss_sp, length, protection) != 0
            || libc::sigaltstack(&stack, null_mut()) != 0
        {
            libc::munmap(mapping, length + page);
            return;
        }
        thread.alternate = mapping;
        thread.alternate_length = length + page;
        // The key's value only has to be something other than null for the destructor to run.
        if let Some(key) = exit_key() {
            libc::pthread_setspecific(key, mapping);
        }
    }
}

/// The key whose destructor frees a thread's alternate stack.
fn exit_key() -> Option<libc::pthread_key_t> {
    static KEY: AtomicU32 = AtomicU32::new(0);
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let mut key = 0;
        // SAFETY: `key` has room for the result; the destructor is a function of this module,
        // which is never unloaded once guards are installed.
        if unsafe { libc::pthread_key_create(&mut key, Some(at_exit)) } == 0 {
            KEY.store(key + 1, Ordering::Release);
        }
    });
    KEY.load(Ordering::Acquire).checked_sub(1)
}

extern "C" fn at_exit(_: *mut c_void) {
    let thread = super::arch::thread();
    // SAFETY: `thread` is the exiting thread's block. The mapping is its own, and no longer its
    // alternate stack when it is unmapped. A guard opened by a later destructor prepares the
    // thread anew, because `id` is 0.
    unsafe {
        let mapping = (*thread).alternate;
        if mapping.is_null() {
            return;
        }
        let mut present = MaybeUninit::<libc::stack_t>::uninit();
        if libc::sigaltstack(core::ptr::null(), present.as_mut_ptr()) == 0 {
            let present = present.assume_init();
            if present.ss_sp == mapping.add(page_size()) {
                let none = libc::stack_t {
                    ss_sp: null_mut(),
                    ss_flags: libc::SS_DISABLE,
                    ss_size: present.ss_size,
                };
                if libc::sigaltstack(&none, null_mut()) != 0 {
                    return; // the thread ends on it
                }
            }
        }
        renew();
        (*thread).alternate = null_mut();
        libc::munmap(mapping, (*thread).alternate_length);
    }
}

pub(super) fn page_size() -> usize {
    // SAFETY: returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

static SECRET: AtomicUsize = AtomicUsize::new(0);
static ALTERNATE_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Where the assembly finds a thread's fields.
pub(super) const INNERMOST: usize = offset_of!(Thread, innermost);
pub(super) const DEPTH: usize = offset_of!(Thread, depth);
pub(super) const KEY: usize = offset_of!(Thread, key);
pub(super) const ERRNO: usize = offset_of!(Thread, errno);
pub(super) const RECENTLY: usize = offset_of!(Thread, recent);

/// How many landings cut off by one `longjmp` can be passed.
pub(super) const RECENT: usize = 8;

/// What the handler and one signal frame below it need beyond the kernel's own minimum.
const HANDLER_NEEDS: usize = 16 * 1024;
/// The kernel keeps this much free below a growing stack (`stack_guard_gap`, 256 pages of 4 KiB).
const MAIN_STACK_GAP: usize = 1 << 20;
