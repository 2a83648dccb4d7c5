//! What a guest wants done at its end: the destructors it registers with `__cxa_atexit`, and for a
//! thread's end with `__cxa_thread_atexit`.
//!
//! The C library runs the first inside `dlclose`, under the loader's lock and without knowing which
//! objects live on in the next version; and for the second it keeps the image until the last thread
//! is gone. So each guest's imports of these functions are diverted to this module. Who retires a
//! version runs its destructors under the guard, one by one, and not for objects whose content was
//! carried on; the destructors of a thread's own objects run when it ends, or when its version is
//! retired on it.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crash_guard::barrier;

use super::loader::call_destructor;
use crate::entry::Caller;

/// A destructor that a guest has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) function: usize,
    pub(crate) object: usize,
    /// The `__dso_handle` it was registered with, an address inside the guest's image.
    image: usize,
    /// The thread whose end it is for.
    thread: Option<libc::pid_t>,
}

/// The functions whose imports are diverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// At the image's end (Itanium C++ ABI, 3.3.6.3).
    Image,
    /// At the thread's end: C++'s own name for it and the C library's, which Rust uses.
    Thread,
    /// Around a fork; the C library is told when the image goes.
    Fork,
    /// When a thread with a value for a key ends; the key goes with the image.
    Key,
    /// No longer for this key.
    KeyDeleted,
}

impl Registration {
    /// The imported functions that register so.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("__cxa_atexit", Self::Image),
        ("__cxa_thread_atexit", Self::Thread),
        ("__cxa_thread_atexit_impl", Self::Thread),
        ("__register_atfork", Self::Fork),
        ("pthread_key_create", Self::Key),
        ("pthread_key_delete", Self::KeyDeleted),
    ];
}

struct Node {
    exit: Exit,
    next: *mut Node,
}

/// All that is registered, the newest first.
static REGISTERED: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());
/// Held by whoever takes nodes out.
static TAKING: Mutex<()> = Mutex::new(());
/// How many threads are about to run what they have taken out.
static ENDING: AtomicUsize = AtomicUsize::new(0);

/// Stands in for `__cxa_atexit`.
extern "C" fn register(function: usize, object: usize, image: usize) -> c_int {
    barrier(|| push(Exit { function, object, image, thread: None }));
    0
}

/// Stands in for `__cxa_thread_atexit`, which takes the same.
extern "C" fn register_for_thread(function: usize, object: usize, image: usize) -> c_int {
    barrier(|| {
        // A thread that has run its own already ends without these.
        if END_OF_THREAD.try_with(|_| ()).is_ok() {
            // SAFETY: no arguments, cannot fail.
            let thread = unsafe { libc::gettid() };
            push(Exit { function, object, image, thread: Some(thread) });
        }
    });
    0
}

/// Stands in for `__register_atfork`, glibc's own form of `pthread_atfork`.
extern "C" fn register_for_fork(
    prepare: usize,
    parent: usize,
    child: usize,
    image: usize,
) -> c_int {
    barrier(|| {
        HANDLES.lock().unwrap_or_else(PoisonError::into_inner).push(image);
        // SAFETY: passed on as it came.
        unsafe { __register_atfork(prepare, parent, child, image) }
    })
}

/// Stands in for `pthread_key_create`.
extern "C" fn create_key(key: *mut libc::pthread_key_t, destructor: usize) -> c_int {
    type Destructor = unsafe extern "C" fn(*mut c_void);
    barrier(|| {
        let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a null or the guest's own function, as it came; the key is written where the guest
        // wants it.
        unsafe {
            let function = std::mem::transmute::<usize, Option<Destructor>>(destructor);
            let result = libc::pthread_key_create(key, function);
            if result == 0 && destructor != 0 {
                keys.push((*key, destructor));
            }
            result
        }
    })
}

/// Stands in for `pthread_key_delete`: the number may be somebody else's key next.
extern "C" fn delete_key(key: libc::pthread_key_t) -> c_int {
    barrier(|| {
        let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|(known, _)| *known != key);
        // SAFETY: passed on as it came.
        unsafe { libc::pthread_key_delete(key) }
    })
}

unsafe extern "C" {
    #[cfg(target_env = "gnu")]
    fn __register_atfork(prepare: usize, parent: usize, child: usize, image: usize) -> c_int;
    fn __cxa_finalize(image: *mut c_void);
}

/// musl has no such function, and no guest imports it.
#[cfg(not(target_env = "gnu"))]
unsafe fn __register_atfork(_: usize, _: usize, _: usize, _: usize) -> c_int {
    libc::ENOSYS
}

/// The `__dso_handle`s that fork handlers were registered with.
static HANDLES: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Keys with a destructor, and the destructor.
static KEYS: Mutex<Vec<(libc::pthread_key_t, usize)>> = Mutex::new(Vec::new());

/// Makes the C library forget what it still has of the image in `range`: fork handlers and keys. To
/// be called just before it is unmapped.
pub(crate) fn forget_image(range: &Range<usize>) {
    let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    for handle in handles.extract_if(.., |handle| range.contains(handle)) {
        // SAFETY: the image's destructors are all with this module, so that this runs nothing.
        unsafe { __cxa_finalize(handle as *mut c_void) };
    }
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    for (key, _) in keys.extract_if(.., |(_, destructor)| range.contains(destructor)) {
        // SAFETY: the guest that made the key is gone, and has not deleted it.
        unsafe { libc::pthread_key_delete(key) };
    }
}

fn push(exit: Exit) {
    let node = Box::into_raw(Box::new(Node { exit, next: ptr::null_mut() }));
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

/// Takes out what is `wanted`, in the order in which it is to be run: the last one first.
fn take(wanted: impl Fn(&Exit) -> bool) -> Vec<Exit> {
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut node = REGISTERED.swap(ptr::null_mut(), Ordering::Acquire);
    let mut taken = Vec::new();
    let mut others = Vec::new();
    while !node.is_null() {
        // SAFETY: nodes come from `Box::into_raw`, and the swap made the whole list ours.
        let Node { exit, next } = *unsafe { Box::from_raw(node) };
        node = next;
        if wanted(&exit) {
            taken.push(exit);
        } else {
            others.push(exit);
        }
    }
    // Oldest first, so that the order of the rest stays.
    others.into_iter().rev().for_each(push);
    taken
}

/// Takes out what the image in `range` has registered for its own end and for that of the calling
/// thread.
pub(crate) fn take_exits(range: &Range<usize>) -> Vec<Exit> {
    // SAFETY: no arguments, cannot fail.
    let own = unsafe { libc::gettid() };
    take(|exit| range.contains(&exit.image) && exit.thread.is_none_or(|thread| thread == own))
}

/// Puts back what was taken and not run.
pub(crate) fn return_exits(exits: Vec<Exit>) {
    exits.into_iter().rev().for_each(push);
}

/// Drops what the image in `range` has registered: it failed, and its destructors are not run.
pub(crate) fn forget_exits(range: &Range<usize>) {
    drop(take(|exit| range.contains(&exit.image)));
}

/// Whether other threads still have objects whose destructors are in `range`, or may just be
/// running them.
pub(crate) fn threads_have_exits(range: &Range<usize>) -> bool {
    // SAFETY: no arguments, cannot fail.
    let own = unsafe { libc::gettid() };
    let others =
        take(|exit| range.contains(&exit.image) && exit.thread.is_some_and(|thread| thread != own));
    let found = !others.is_empty();
    return_exits(others);
    found || ENDING.load(Ordering::Acquire) > 0
}

/// Where the registrations are kept.
pub(crate) fn exit_records() -> Vec<usize> {
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner).as_ptr().addr();
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner).as_ptr().addr();
    let mut found = vec![handles, keys];
    let mut node = REGISTERED.load(Ordering::Acquire);
    while !node.is_null() {
        found.push(node.addr());
        // SAFETY: nodes are freed only by who takes them out, which the lock keeps from happening.
        node = unsafe { (*node).next };
    }
    found
}

/// Diverts a guest's import slots of one of the functions; false where one cannot be written.
///
/// Done before any code of the guest runs. The slots lie in memory that the loader has made
/// read-only (RELRO); it is made writable for the one store and read-only again.
pub(crate) fn divert(slots: &[usize], registration: Registration) -> bool {
    let stand_in = match registration {
        Registration::Image => register as *const c_void,
        Registration::Thread => register_for_thread as *const c_void,
        Registration::Fork => register_for_fork as *const c_void,
        Registration::Key => create_key as *const c_void,
        Registration::KeyDeleted => delete_key as *const c_void,
    };
    let target = stand_in.addr();
    slots.iter().all(|&slot| {
        // SAFETY: the slot is a word of the guest's own global offset table, found by its
        // relocations; no Rust reference to it exists, and the guest does not run yet. The page's
        // protection comes back when `_writable` is dropped.
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

thread_local! {
    static END_OF_THREAD: EndOfThread = const { EndOfThread };
}

/// Dropped when its thread ends.
struct EndOfThread;

impl Drop for EndOfThread {
    fn drop(&mut self) {
        // SAFETY: no arguments, cannot fail.
        let own = unsafe { libc::gettid() };
        let caller = Caller::new(None);
        ENDING.fetch_add(1, Ordering::AcqRel);
        // A destructor may register another.
        for _ in 0..ROUNDS {
            let exits = take(|exit| exit.thread == Some(own));
            if exits.is_empty() {
                break;
            }
            for exit in exits {
                // There is nobody left to tell of a fault; the thread's other objects still go.
                drop(call_destructor(&caller, &exit));
            }
        }
        ENDING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How often destructors may register further ones.
const ROUNDS: usize = 16;
