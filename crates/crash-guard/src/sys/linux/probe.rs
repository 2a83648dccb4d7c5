//! Accesses that may fail. The access is one instruction of the assembly; when it faults the
//! handler resumes just behind it, guard or no guard.

use core::ffi::c_int;

use libc::{SIGBUS, SIGSEGV};

use super::arch::{self, Context};
use super::{disposition, thread};

/// Reads a word.
pub(crate) fn load(address: usize) -> Option<usize> {
    if !is_armed() {
        let mut bytes = [0; size_of::<usize>()];
        let read = transfer(Direction::In, address, bytes.as_mut_ptr(), bytes.len());
        return (read == bytes.len()).then(|| usize::from_ne_bytes(bytes));
    }
    let mut word = 0usize;
    // SAFETY: the read may fault, and `recover` then makes the function return false; the write
    // goes to `word`.
    let loaded = unsafe { crash_guard_v0_1_load(address as *const usize, &raw mut word) };
    loaded.then_some(word)
}

/// Copies from `address` and says how many bytes there were.
pub(crate) fn copy_in(address: usize, into: &mut [u8]) -> usize {
    if !is_armed() {
        return transfer(Direction::In, address, into.as_mut_ptr(), into.len());
    }
    // SAFETY: reading may fault, and `recover` then makes the function return what is left over;
    // what is written is `into`.
    let left =
        unsafe { crash_guard_v0_1_copy(into.as_mut_ptr(), address as *const u8, into.len()) };
    into.len() - left
}

/// Copies to `address` and says how many bytes could be written.
///
/// # Safety
///
/// The bytes there, as far as they are mapped and writable, must be the caller's to overwrite.
pub(crate) unsafe fn copy_out(address: usize, from: &[u8]) -> usize {
    if !is_armed() {
        return transfer(Direction::Out, address, from.as_ptr().cast_mut(), from.len());
    }
    // SAFETY: writing may fault, and `recover` then makes the function return what is left over;
    // the caller answers for what is overwritten.
    let left = unsafe { crash_guard_v0_1_copy(address as *mut u8, from.as_ptr(), from.len()) };
    from.len() - left
}

/// Called first thing in the handler: true if the fault was a probe's, which then goes on.
pub(super) fn recover(signal: c_int, code: c_int, interrupted: Context) -> bool {
    if (signal != SIGSEGV && signal != SIGBUS) || code <= 0 {
        return false;
    }
    let pc = interrupted.pc();
    if pc == crash_guard_v0_1_load_at as *const () as usize {
        interrupted.set_pc(crash_guard_v0_1_load_failed as *const () as usize);
        return true;
    }
    let stopped = crash_guard_v0_1_copy_stopped as *const () as usize;
    if (crash_guard_v0_1_copy_at as *const () as usize..stopped).contains(&pc) {
        interrupted.set_pc(stopped);
        return true;
    }
    false
}

/// Whether an aligned word can be read, asked of the kernel: for the handler, in which a fault
/// would be the end. The kernel reads the new mask before it finds out that there is no such
/// way of changing it.
pub(super) fn is_readable_in_handler(address: usize) -> bool {
    // SAFETY: the call cannot change the mask, because the first argument is never valid, and
    // writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_WAY,
            address & !7,
            core::ptr::null_mut::<u64>(),
            8usize,
        )
    };
    // SAFETY: `errno` is this thread's; the handler restores it.
    result == 0 || unsafe { *libc::__errno_location() } != libc::EFAULT
}

/// Whether a fault now would come to the handler. Also makes the thread ready, because a thread
/// that has the fault signals blocked is killed.
fn is_armed() -> bool {
    let this = arch::thread();
    // SAFETY: `this` is the calling thread's block.
    if unsafe { (*this).id } == 0 {
        thread::prepare(this);
    }
    disposition::is_installed()
}

enum Direction {
    In,
    Out,
}

/// The slow way without a handler: the kernel copies within this process.
fn transfer(direction: Direction, address: usize, local: *mut u8, length: usize) -> usize {
    let here = libc::iovec { iov_base: local.cast(), iov_len: length };
    let there = libc::iovec { iov_base: address as *mut _, iov_len: length };
    // SAFETY: `local` has `length` bytes, to be written only for `In`; the kernel checks
    // `address`, and for `Out` the caller answers for what is overwritten.
    let copied = unsafe {
        let process = libc::getpid();
        match direction {
            Direction::In => libc::process_vm_readv(process, &here, 1, &there, 1, 0),
            Direction::Out => libc::process_vm_writev(process, &here, 1, &there, 1, 0),
        }
    };
    usize::try_from(copied).unwrap_or(0)
}

const NO_SUCH_WAY: usize = usize::MAX;

unsafe extern "C" {
    fn crash_guard_v0_1_load(source: *const usize, into: *mut usize) -> bool;
    fn crash_guard_v0_1_copy(to: *mut u8, from: *const u8, length: usize) -> usize;
    // Places in the assembly, not functions.
    fn crash_guard_v0_1_load_at();
    fn crash_guard_v0_1_load_failed();
    fn crash_guard_v0_1_copy_at();
    fn crash_guard_v0_1_copy_stopped();
}
