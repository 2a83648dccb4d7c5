//! Deadlines: a kernel timer per guarded call, aimed at its own thread. A helper thread would
//! not do, because after a fault in the loader no thread can be started.
//!
//! All calls go to the kernel directly and may be made in the handler.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use core::time::Duration;

use libc::siginfo_t;

use super::handler;
use super::landing::{Landing, Terms};
use super::thread::{self, Thread};
use super::{arch, disposition};
use crate::{Fault, FaultKind};

/// The timer of a guarded call, deleted when the call is over.
pub(super) struct Timer {
    terms: *mut Terms,
    outer: *mut Terms,
}

impl Timer {
    /// Starts the timer. Before installation there is none, since nothing would be caught.
    ///
    /// # Errors
    ///
    /// The `errno` of the call that failed.
    ///
    /// # Safety
    ///
    /// `terms` must outlive the timer, and belong to the calling thread.
    pub(super) unsafe fn start(terms: *mut Terms, after: Duration) -> Result<Self, c_int> {
        let thread = arch::thread();
        // SAFETY: `thread` is the calling thread's block; the caller promises that `terms` live
        // as long as `timed` names them. A sigevent may be all zeros; the kernel reads it and
        // writes the timer's number.
        unsafe {
            if (*thread).id == 0 {
                thread::prepare(thread);
            }
            let timer = Self { terms, outer: (*thread).timed };
            (*thread).timed = terms;
            if !disposition::is_installed() {
                return Ok(timer);
            }
            let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
            let mut event = MaybeUninit::<libc::sigevent>::zeroed().assume_init();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal();
            event.sigev_value = libc::sigval { sival_ptr: token as *mut c_void };
            event.sigev_notify_thread_id = (*thread).id;
            let number = &raw mut (*terms).timer;
            let clock = libc::CLOCK_MONOTONIC;
            if libc::syscall(libc::SYS_timer_create, clock, &raw mut event, number) != 0 {
                return Err(*libc::__errno_location());
            }
            ARMED.fetch_add(1, Ordering::Relaxed);
            (*terms).token = token;
            if !set(&*terms, after) {
                return Err(*libc::__errno_location());
            }
            Ok(timer)
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let thread = arch::thread();
        // SAFETY: as in `start`.
        unsafe {
            (*thread).timed = self.outer;
            if (*self.terms).token != 0 {
                disarm(self.terms);
            }
        }
    }
}

/// Deletes a timer. A signal it has already sent is ignored when it arrives.
///
/// # Safety
///
/// `terms` must be those of an unfinished call of the calling thread, with a timer.
pub(super) unsafe fn disarm(terms: *mut Terms) {
    // SAFETY: the caller promises that the terms live; `errno` is this thread's and kept.
    unsafe {
        (*terms).token = 0;
        let errno = *libc::__errno_location();
        libc::syscall(libc::SYS_timer_delete, (*terms).timer);
        *libc::__errno_location() = errno;
    }
    ARMED.fetch_sub(1, Ordering::Relaxed);
}

/// What a guarded call comes back with when its deadline could not be set.
pub(super) fn unarmed(errno: c_int) -> Fault {
    // SAFETY: `thread` is the calling thread's block.
    let thread = unsafe { &*arch::thread() };
    Fault { code: -errno, ..handler::without_context(FaultKind::Deadline, thread) }
}

/// Whether a signal comes from a timer of ours, this landing's or one long gone.
pub(super) fn is_one(signal: c_int, information: &siginfo_t) -> bool {
    signal == self::signal() && information.si_code == libc::SI_TIMER
}

/// The landing at which a deadline's signal ends. Called in the handler.
///
/// # Safety
///
/// `innermost` must be the first live landing of the thread whose block `thread` is.
pub(super) unsafe fn target(
    information: &siginfo_t,
    innermost: *mut Landing,
    thread: *mut Thread,
) -> Option<*mut Landing> {
    // SAFETY: a timer's signal has a value; the chain is followed as long as canaries are right.
    unsafe {
        let token = information.si_value().sival_ptr as usize;
        let mut under_barrier = false;
        let mut landing = innermost;
        while !Landing::is_none(landing) && Landing::is_sound(landing, &*thread) {
            let terms = (*landing).terms();
            if (*landing).is_barrier() {
                under_barrier = true;
            } else if !terms.is_null() && (*terms).token == token {
                if !under_barrier {
                    return Some(landing);
                }
                (*terms).expired = true;
                (*thread).deadline_waits = true;
                return None;
            }
            landing = (*landing).outer;
        }
        // The call has not begun yet, or is just over; then the timer is deleted first.
        let timed = (*thread).timed;
        if !timed.is_null() && (*timed).token == token && (*timed).retries > 0 {
            (*timed).retries -= 1;
            set(&*timed, RETRY);
        }
        None
    }
}

/// At the end of a barrier: ends the call whose deadline passed meanwhile, the outermost if
/// there are several. Does not return then.
pub(super) fn deliver_waiting() {
    let thread = arch::thread();
    // SAFETY: `thread` is the calling thread's block and its landings are open.
    unsafe {
        if !(*thread).deadline_waits {
            return;
        }
        let mut expired: Option<&Terms> = None;
        let mut landing = (*thread).innermost;
        let mut at_barrier = false;
        while !at_barrier && !Landing::is_none(landing) && Landing::is_sound(landing, &*thread) {
            match (*landing).terms().as_ref() {
                Some(terms) if terms.token != 0 && terms.expired => expired = Some(terms),
                _ => at_barrier = (*landing).is_barrier(),
            }
            landing = (*landing).outer;
        }
        // Others may wait for the barriers further out.
        (*thread).deadline_waits = at_barrier;
        if let Some(terms) = expired
            && set(terms, Duration::ZERO)
        {
            // Wait for it here, so that nothing more of the guest runs.
            let all_others = !(1u64 << (signal() - 1));
            libc::syscall(libc::SYS_rt_sigsuspend, &raw const all_others, 8usize);
        }
    }
}

/// The real-time signal that deadlines use; 0 before one was chosen.
pub(super) fn signal() -> c_int {
    SIGNAL.load(Ordering::Relaxed)
}

/// Chooses a high real-time signal that nobody handles; not the last two, which emulators take
/// for themselves.
pub(super) fn choose_signal() -> Option<c_int> {
    if signal() == 0 {
        let free = (libc::SIGRTMIN()..=libc::SIGRTMAX())
            .rev()
            .skip(2)
            .find(|signal| disposition::is_default(*signal))?;
        SIGNAL.store(free, Ordering::Relaxed);
    }
    Some(signal())
}

/// Whether a timer may still fire.
pub(super) fn is_any_armed() -> bool {
    ARMED.load(Ordering::Relaxed) != 0
}

fn set(terms: &Terms, after: Duration) -> bool {
    let after = after.max(Duration::from_nanos(1)); // zero would stop the timer
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: after.as_secs().min(FAR) as libc::time_t,
            tv_nsec: after.subsec_nanos() as _,
        },
    };
    // SAFETY: the kernel reads `spec`, and knows whether there is such a timer.
    unsafe {
        libc::syscall(
            libc::SYS_timer_settime,
            terms.timer,
            0,
            &raw const spec,
            null_mut::<libc::itimerspec>(),
        ) == 0
    }
}

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static NEXT_TOKEN: AtomicUsize = AtomicUsize::new(1);
static ARMED: AtomicUsize = AtomicUsize::new(0);
const RETRY: Duration = Duration::from_micros(50);
/// A hundred years.
const FAR: u64 = 100 * 366 * 24 * 3600;
