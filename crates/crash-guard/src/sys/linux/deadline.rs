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
use super::landing::Landing;
use super::thread::Thread;
use super::{arch, disposition};
use crate::{Fault, FaultKind};

/// Starts the timer of a landing.
///
/// # Errors
///
/// The `errno` of the call that failed.
///
/// # Safety
///
/// `landing` must be an opened landing of the calling thread.
pub(super) unsafe fn arm(landing: *mut Landing, after: Duration) -> Result<(), c_int> {
    if !disposition::is_installed() {
        return Ok(()); // nothing is caught then, deadlines neither
    }
    let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
    let mut event = MaybeUninit::<libc::sigevent>::zeroed();
    // SAFETY: a sigevent may be all zeros; the kernel reads it and writes the timer's number;
    // the caller promises that the landing is open.
    unsafe {
        let event = event.as_mut_ptr();
        (*event).sigev_notify = libc::SIGEV_THREAD_ID;
        (*event).sigev_signo = signal();
        (*event).sigev_value = libc::sigval { sival_ptr: token as *mut c_void };
        (*event).sigev_notify_thread_id = libc::gettid();
        let timer = &raw mut (*landing).timer;
        if libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, event, timer) != 0 {
            return Err(*libc::__errno_location());
        }
        ARMED.fetch_add(1, Ordering::Relaxed);
        (*landing).expired = false;
        (*landing).token = token;
        if !set(landing, after) {
            return Err(*libc::__errno_location());
        }
    }
    Ok(())
}

/// Deletes the timer of a landing. A signal it has already sent is ignored when it arrives.
///
/// # Safety
///
/// `landing` must be a landing of the calling thread with a timer.
#[cold]
pub(super) unsafe fn disarm(landing: *mut Landing) {
    // SAFETY: `arm` has set `timer` before `token`.
    unsafe {
        (*landing).token = 0;
        let errno = *libc::__errno_location();
        libc::syscall(libc::SYS_timer_delete, (*landing).timer);
        ARMED.fetch_sub(1, Ordering::Relaxed);
        *libc::__errno_location() = errno;
    }
}

/// What a guarded call comes back with when its deadline could not be set.
pub(super) fn unarmed(thread: &Thread, errno: c_int) -> Fault {
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
            if (*landing).is_barrier() {
                under_barrier = true;
            } else if Landing::has_deadline(landing) && (*landing).token == token {
                if under_barrier {
                    (*landing).expired = true;
                    (*thread).deadline_waits = true;
                    return None;
                }
                if (*landing).sp == 0 {
                    // Between arming and the guest's first instruction, or after its last. Then
                    // the timer is deleted before it fires again.
                    set(landing, RETRY);
                    return None;
                }
                return Some(landing);
            }
            landing = (*landing).outer;
        }
        None
    }
}

/// At the end of a barrier: ends the call whose deadline passed meanwhile, the outermost if
/// there are several. Does not return then.
#[cold]
#[inline(never)]
pub(super) fn deliver_waiting() {
    let thread = arch::thread();
    // SAFETY: `thread` is the calling thread's block and its landings are open.
    unsafe {
        let mut expired = null_mut::<Landing>();
        let mut landing = (*thread).innermost;
        while !Landing::is_none(landing) && Landing::is_sound(landing, &*thread) {
            if (*landing).is_barrier() {
                if expired.is_null() {
                    return; // it still waits, for this barrier
                }
                break;
            }
            if Landing::has_deadline(landing) && (*landing).token != 0 && (*landing).expired {
                expired = landing;
            }
            landing = (*landing).outer;
        }
        (*thread).deadline_waits = !Landing::is_none(landing);
        if !expired.is_null() && set(expired, Duration::ZERO) {
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

unsafe fn set(landing: *mut Landing, after: Duration) -> bool {
    let after = after.max(Duration::from_nanos(1)); // zero would stop the timer
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: after.as_secs().min(FAR) as libc::time_t,
            tv_nsec: after.subsec_nanos() as _,
        },
    };
    // SAFETY: the landing has a timer; the kernel reads `spec`.
    unsafe {
        libc::syscall(
            libc::SYS_timer_settime,
            (*landing).timer,
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
