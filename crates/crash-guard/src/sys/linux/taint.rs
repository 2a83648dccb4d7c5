//! Which of the process's locks an abandoned call may still hold.
//!
//! glibc only. Where its locks are is found out once, at installation, and by watching them
//! rather than by knowing their offsets: a structure that does not behave as expected is left
//! alone and reported as unknown.

use core::ffi::{CStr, c_int, c_void};
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::Once;

use super::modules;
use super::thread::Thread;
use crate::{Held, Taint};

/// The taint of a fault with a context. Called in the handler.
pub(super) fn of_fault(pc: usize, sp: usize, landing: usize, thread: &Thread) -> Taint {
    Taint { heap: heap(pc, sp, landing, thread), ..of_locks(thread) }
}

/// The taint of something that cannot have left the allocator in the middle of its work.
pub(super) fn of_locks(thread: &Thread) -> Taint {
    if !LOCATED.load(Ordering::Acquire) {
        return Taint::UNKNOWN;
    }
    Taint { heap: Held::No, stdio: stdio(thread), loader: loader(thread) }
}

/// Finds the locks. Takes the loader's lock for a moment.
pub(super) fn locate() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if symbol(c"gnu_get_libc_version").is_null() {
            return;
        }
        locate_allocator();
        locate_streams();
        locate_loader();
        LOCATED.store(true, Ordering::Release);
    });
}

/// Releases the loader's locks that the calling thread holds; how often it had to unlock.
///
/// # Safety
///
/// As [`crate::release_loader_lock`].
pub(crate) unsafe fn release_loader_lock() -> usize {
    let mut released = 0;
    // SAFETY: `locate_loader` has found these to be recursive mutexes of the loader, which is
    // never unloaded; a thread may unlock what it owns.
    unsafe {
        let this = libc::gettid();
        for mutex in &LOADER_LOCKS {
            let mutex = mutex.load(Ordering::Relaxed);
            while !mutex.is_null() && (*mutex).is_owned_by(this) {
                if libc::pthread_mutex_unlock(mutex.cast()) != 0 {
                    break;
                }
                released += 1;
            }
        }
    }
    released
}

/// A fault in the C library is in the allocator if the allocator is who called.
fn heap(pc: usize, sp: usize, landing: usize, thread: &Thread) -> Held {
    let text = LIBC_TEXT[0].load(Ordering::Relaxed)..LIBC_TEXT[1].load(Ordering::Relaxed);
    if text.is_empty() {
        return Held::Unknown;
    }
    if !text.contains(&pc) {
        return Held::No;
    }
    if is_allocator(pc) {
        return Held::Maybe;
    }
    let start = sp.next_multiple_of(size_of::<usize>());
    let on_own_stack =
        start >= thread.stack_low && landing <= thread.stack_high && start <= landing;
    // After an overflow the stack pointer is where there is no stack.
    if !on_own_stack || !super::probe::is_readable_in_handler(start) {
        return Held::Unknown;
    }
    let words = (landing - start).min(SEARCHED) / size_of::<usize>();
    for word in 0..words {
        // SAFETY: an aligned word of the thread's own stack, between the stack pointer and a
        // landing that is still open.
        let address = unsafe { (start as *const usize).add(word).read_volatile() };
        if text.contains(&address) && is_allocator(address) {
            return Held::Maybe;
        }
    }
    Held::No
}

fn is_allocator(address: usize) -> bool {
    ALLOCATOR.iter().any(|[start, end]| {
        (start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)).contains(&address)
    })
}

fn stdio(thread: &Thread) -> Held {
    let mut known = false;
    for lock in &STREAM_LOCKS {
        let lock = lock.load(Ordering::Relaxed);
        if lock.is_null() {
            continue;
        }
        known = true;
        // SAFETY: `locate_streams` has found this to be a standard stream's lock, in the C
        // library's own data.
        unsafe {
            if (*lock).count > 0 && (*lock).owner == thread.pthread {
                return Held::Yes;
            }
        }
    }
    if known { Held::No } else { Held::Unknown }
}

fn loader(thread: &Thread) -> Held {
    let mut known = false;
    for mutex in &LOADER_LOCKS {
        let mutex = mutex.load(Ordering::Relaxed);
        if mutex.is_null() {
            continue;
        }
        known = true;
        // SAFETY: `locate_loader` has found this to be a mutex of the loader.
        if unsafe { (*mutex).is_owned_by(thread.id) } {
            return Held::Yes;
        }
    }
    if known { Held::No } else { Held::Unknown }
}

/// The allocator's functions, as far as they are the C library's and not somebody else's.
fn locate_allocator() {
    let Some(text) = modules::text_around(symbol(c"gnu_get_libc_version") as usize) else { return };
    if !text.contains(&(symbol(c"malloc") as usize)) {
        return;
    }
    for (range, name) in ALLOCATOR.iter().zip(ALLOCATOR_NAMES) {
        if let Some(function) = extent(symbol(name)) {
            range[0].store(function.start, Ordering::Relaxed);
            range[1].store(function.end, Ordering::Relaxed);
        }
    }
    LIBC_TEXT[0].store(text.start, Ordering::Relaxed);
    LIBC_TEXT[1].store(text.end, Ordering::Relaxed);
}

/// The locks of stdin, stdout and stderr: taken once each, to see that what should be the lock
/// shows its owner.
fn locate_streams() {
    for (place, name) in STREAM_LOCKS.iter().zip([c"stdin", c"stdout", c"stderr"]) {
        // SAFETY: the symbols are variables of type `FILE *`; the lock is read only after the
        // pointer to it was found to point into the C library's or the program's memory.
        unsafe {
            let variable = symbol(name).cast::<*mut libc::FILE>();
            if variable.is_null() || (*variable).is_null() {
                continue;
            }
            let stream = *variable;
            let lock = stream.cast::<u8>().add(LOCK_IN_FILE).cast::<*mut StreamLock>().read();
            if lock.is_null() || ftrylockfile(stream) != 0 {
                continue;
            }
            let owned = super::probe::load(&raw const (*lock).owner as usize);
            funlockfile(stream);
            if owned == Some(libc::pthread_self() as usize) {
                place.store(lock, Ordering::Relaxed);
            }
        }
    }
}

/// The loader's mutexes: `dl_iterate_phdr` holds one while it calls back, and its neighbours on
/// both sides are the others.
fn locate_loader() {
    unsafe extern "C" fn look(_: *mut libc::dl_phdr_info, _: usize, range: *mut c_void) -> c_int {
        // SAFETY: `range` is the Range below, whose memory is the loader's own variable.
        unsafe {
            let range = &*range.cast::<Range<usize>>();
            let this = libc::gettid();
            let last = range.end.saturating_sub(MUTEX);
            let held = (range.start..last)
                .step_by(8)
                .find(|address| (*(*address as *const Mutex)).is_owned_by(this));
            let Some(held) = held else { return 1 };
            for (place, step) in LOADER_LOCKS.iter().zip([-1isize, 0, 1]) {
                let address = held.wrapping_add_signed(step * MUTEX as isize);
                let mutex = address as *mut Mutex;
                if range.contains(&address) && address <= last && (*mutex).is_recursive() {
                    place.store(mutex, Ordering::Relaxed);
                }
            }
            1
        }
    }

    let Some(mut range) = extent(symbol(c"_rtld_global")) else { return };
    // SAFETY: `look` is called before `dl_iterate_phdr` returns, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut range).cast()) };
}

/// Start and end of what a symbol names, by the symbol table.
fn extent(address: *mut c_void) -> Option<Range<usize>> {
    type Dladdr1 = unsafe extern "C" fn(
        *const c_void,
        *mut libc::Dl_info,
        *mut *const libc::Elf64_Sym,
        c_int,
    ) -> c_int;
    let dladdr1 = symbol(c"dladdr1");
    if address.is_null() || dladdr1.is_null() {
        return None;
    }
    let mut module = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    let mut entry: *const libc::Elf64_Sym = core::ptr::null();
    // SAFETY: glibc's function of this type; the entry lies in the module's symbol table, and
    // the modules asked about here are never unloaded.
    unsafe {
        let dladdr1 = core::mem::transmute::<*mut c_void, Dladdr1>(dladdr1);
        if dladdr1(address, module.as_mut_ptr(), &mut entry, SYMBOL_ENTRY) == 0 || entry.is_null() {
            return None;
        }
        let start = address as usize;
        start.checked_add((*entry).st_size as usize).map(|end| start..end)
    }
}

fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: looks a name up.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The start of glibc's `struct __pthread_mutex_s`, which is longer on some architectures.
#[repr(C)]
struct Mutex {
    lock: c_int,
    count: u32,
    owner: c_int,
    users: u32,
    kind: c_int,
}

const MUTEX: usize = size_of::<libc::pthread_mutex_t>();
const _: () = assert!(size_of::<Mutex>() <= MUTEX);

impl Mutex {
    fn is_owned_by(&self, thread: c_int) -> bool {
        // SAFETY: reads through references to live memory that other threads may be writing.
        let (lock, count, owner) = unsafe {
            (
                (&raw const self.lock).read_volatile(),
                (&raw const self.count).read_volatile(),
                (&raw const self.owner).read_volatile(),
            )
        };
        owner == thread && lock != 0 && count > 0 && self.is_recursive()
    }

    fn is_recursive(&self) -> bool {
        self.kind == libc::PTHREAD_MUTEX_RECURSIVE
    }
}

/// glibc's `_IO_lock_t`.
#[repr(C)]
struct StreamLock {
    lock: c_int,
    count: c_int,
    owner: usize,
}

static LOCATED: AtomicBool = AtomicBool::new(false);
static LIBC_TEXT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static ALLOCATOR: [[AtomicUsize; 2]; ALLOCATOR_NAMES.len()] =
    [const { [const { AtomicUsize::new(0) }; 2] }; ALLOCATOR_NAMES.len()];
static STREAM_LOCKS: [AtomicPtr<StreamLock>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];
static LOADER_LOCKS: [AtomicPtr<Mutex>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];

const ALLOCATOR_NAMES: [&CStr; 11] = [
    c"malloc",
    c"free",
    c"calloc",
    c"realloc",
    c"memalign",
    c"aligned_alloc",
    c"posix_memalign",
    c"valloc",
    c"pvalloc",
    c"malloc_trim",
    c"malloc_usable_size",
];
/// How much of the stack is searched for the allocator.
const SEARCHED: usize = 4096;
/// `_lock` in glibc's `struct _IO_FILE` on 64-bit machines.
const LOCK_IN_FILE: usize = 136;
const SYMBOL_ENTRY: c_int = 1;

unsafe extern "C" {
    fn ftrylockfile(stream: *mut libc::FILE) -> c_int;
    fn funlockfile(stream: *mut libc::FILE);
}
