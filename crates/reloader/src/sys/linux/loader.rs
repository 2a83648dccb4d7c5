//! The dynamic loader, and the parts of a load that this crate takes over from it.
//!
//! Everything here that runs foreign code is a plain `extern "C-unwind"` function without
//! destructors of its own, so that the guard may abandon it.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use crash_guard::{Fault, Held};

use crate::contract::Main;
use crate::entry::Caller;

/// A loaded library, as the loader knows it. It is not closed by itself: that runs foreign code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handle(NonNull<c_void>);

// SAFETY: the loader's handles may be used on any thread (dlopen(3): MT-Safe).
unsafe impl Send for Handle {}

/// What came of an attempt to open a library.
pub(crate) enum Opening {
    Opened(Handle),
    /// The loader refused; its own words.
    Refused(String),
    Faulted(Box<Fault>),
}

/// Opens a library under the guard, with all symbols bound and none given to others.
pub(crate) fn open(caller: &Caller, path: &Path) -> Opening {
    struct Call {
        path: *const c_char,
        handle: *mut c_void,
    }
    unsafe extern "C-unwind" fn run(call: *mut c_void, _: c_int) -> c_int {
        // SAFETY: `call` is the `Call` below, alive for as long as the guarded call.
        unsafe {
            let call = call.cast::<Call>();
            (*call).handle = libc::dlopen((*call).path, libc::RTLD_NOW | libc::RTLD_LOCAL);
        }
        0
    }
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return Opening::Refused("the path has a zero byte".to_owned());
    };
    let mut call = Call { path: name.as_ptr(), handle: ptr::null_mut() };
    // SAFETY: `run` has no destructors, and `call` outlives it.
    match unsafe { caller.run(run, (&raw mut call).cast(), 0) } {
        Err(fault) => {
            release_lock(&fault);
            Opening::Faulted(Box::new(fault))
        }
        Ok(_) => match NonNull::new(call.handle) {
            Some(handle) => Opening::Opened(Handle(handle)),
            None => Opening::Refused(last_error()),
        },
    }
}

/// Closes a library under the guard; whether it is gone then is another question.
pub(crate) fn close(caller: &Caller, handle: Handle) -> Result<(), Fault> {
    unsafe extern "C-unwind" fn run(handle: *mut c_void, _: c_int) -> c_int {
        // SAFETY: the handle came from `dlopen` and is closed once: `Handle` is consumed.
        unsafe { libc::dlclose(handle) }
    }
    // SAFETY: `run` has no destructors.
    let result = unsafe { caller.run(run, handle.0.as_ptr(), 0) };
    if let Err(fault) = &result {
        release_lock(fault);
    }
    result.map(drop)
}

/// Releases the loader's lock after a fault inside `dlopen` or `dlclose`: nobody else ever would,
/// and each new thread would wait for it.
fn release_lock(fault: &Fault) {
    if fault.taint.loader == Held::Yes {
        // SAFETY: the call that took the lock was abandoned on this thread, which is no longer
        // inside the loader.
        unsafe { crash_guard::release_loader_lock() };
    }
}

fn last_error() -> String {
    // SAFETY: `dlerror` gives null or a string that lasts until the thread's next call into the
    // loader.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            return "the loader gives no reason".to_owned();
        }
        CStr::from_ptr(text)
    };
    text.to_string_lossy().into_owned()
}

/// The public head of `struct link_map` (link.h), the loader's record of a library.
#[repr(C)]
struct LinkMap {
    addr: usize,
    _name: *const c_char,
    _ld: *const c_void,
    next: *mut LinkMap,
    prev: *mut LinkMap,
}

fn link_map(handle: &Handle) -> Option<NonNull<LinkMap>> {
    let mut map: *mut LinkMap = ptr::null_mut();
    // SAFETY: with RTLD_DI_LINKMAP `dlinfo` writes one pointer.
    let result =
        unsafe { libc::dlinfo(handle.0.as_ptr(), libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) };
    NonNull::new(map).filter(|_| result == 0)
}

/// Where a library lies.
pub(crate) fn range_of(handle: &Handle) -> Option<Range<usize>> {
    // SAFETY: the handle is open: `Handle` is consumed when it is closed.
    let module = unsafe { elf_sections::sys::module_by_handle(handle.0.as_ptr()) };
    module.map(|module| module.range())
}

/// The load bias: what is added to each address of the image.
pub(crate) fn bias_of(handle: &Handle) -> Option<usize> {
    // SAFETY: the link map lives as long as the handle is open.
    link_map(handle).map(|map| unsafe { map.as_ref() }.addr)
}

/// Where the loader keeps its records: of this library and of those that were loaded before and
/// after it.
pub(crate) fn records(handle: &Handle) -> Vec<usize> {
    struct Walk {
        from: *mut LinkMap,
        found: Vec<usize>,
    }
    /// Called once, while `dl_iterate_phdr` keeps other threads from changing the list.
    unsafe extern "C" fn walk(_: *mut libc::dl_phdr_info, _: usize, walk: *mut c_void) -> c_int {
        // SAFETY: `walk` is the `Walk` below; the list's records live while it is locked.
        unsafe {
            let walk = &mut *walk.cast::<Walk>();
            let mut map = walk.from;
            while !map.is_null() {
                walk.found.push(map.addr());
                map = (*map).next;
            }
            map = (*walk.from).prev;
            while !map.is_null() {
                walk.found.push(map.addr());
                map = (*map).prev;
            }
        }
        1
    }
    let Some(map) = link_map(handle) else { return Vec::new() };
    let mut state = Walk { from: map.as_ptr(), found: Vec::new() };
    // SAFETY: `walk` gets what it expects, and it is alive for the call.
    unsafe { libc::dl_iterate_phdr(Some(walk), (&raw mut state).cast()) };
    state.found
}

/// The address of a symbol of the library or of what it depends on.
pub(crate) fn symbol(handle: &Handle, name: &str) -> Option<NonNull<c_void>> {
    let name = CString::new(name).ok()?;
    // SAFETY: an open handle and a string that ends.
    NonNull::new(unsafe { libc::dlsym(handle.0.as_ptr(), name.as_ptr()) })
}

/// The entry function that a symbol of the contract's name stands for.
pub(crate) fn as_main(symbol: NonNull<c_void>) -> Main {
    // SAFETY: the contract says what a function of this name takes and gives; a guest that exports
    // another one under it breaks the contract, and no check could tell.
    unsafe { std::mem::transmute::<NonNull<c_void>, Main>(symbol) }
}

/// Whether the loader still has the library of this path at this address.
pub(crate) fn is_loaded(address: usize, path: &Path) -> bool {
    elf_sections::sys::module_of_address(address).is_some_and(|module| module.path == path)
}

/// Runs a constructor with what the loader would give it: the program's arguments and environment.
pub(crate) fn call_initializer(caller: &Caller, address: usize) -> Result<(), Fault> {
    type Initializer =
        unsafe extern "C-unwind" fn(c_int, *const *const c_char, *const *const c_char);
    unsafe extern "C-unwind" fn run(address: *mut c_void, _: c_int) -> c_int {
        // SAFETY: the address stands in the image's own list of constructors, relocated by the
        // loader.
        unsafe {
            let initializer = std::mem::transmute::<*mut c_void, Initializer>(address);
            let (count, arguments) = match ARGUMENTS.get() {
                Some(arguments) => (arguments.count, arguments.pointers.as_ptr()),
                None => (0, (&raw const NO_ARGUMENTS).cast()),
            };
            initializer(count, arguments, environ);
        }
        0
    }
    Arguments::prepare();
    // SAFETY: `run` has no destructors.
    unsafe { caller.run(run, address as *mut c_void, 0) }.map(drop)
}

/// Runs a function of the image's list of destructors.
pub(crate) fn call_finalizer(caller: &Caller, address: usize) -> Result<(), Fault> {
    unsafe extern "C-unwind" fn run(address: *mut c_void, _: c_int) -> c_int {
        // SAFETY: as for constructors; destructors take nothing.
        unsafe {
            let finalizer =
                std::mem::transmute::<*mut c_void, unsafe extern "C-unwind" fn()>(address);
            finalizer();
        }
        0
    }
    // SAFETY: `run` has no destructors.
    unsafe { caller.run(run, address as *mut c_void, 0) }.map(drop)
}

/// Runs the destructor of one object.
pub(crate) fn call_destructor(caller: &Caller, exit: &super::Exit) -> Result<(), Fault> {
    unsafe extern "C-unwind" fn run(exit: *mut c_void, _: c_int) -> c_int {
        // SAFETY: `exit` is the `Exit` of the caller; its function was given with this object to be
        // called with it.
        unsafe {
            let exit = &*exit.cast::<super::Exit>();
            let destructor = std::mem::transmute::<usize, unsafe extern "C-unwind" fn(*mut c_void)>(
                exit.function,
            );
            destructor(exit.object as *mut c_void);
        }
        0
    }
    // SAFETY: `run` has no destructors, and `exit` outlives it.
    unsafe { caller.run(run, ptr::from_ref(exit).cast_mut().cast(), 0) }.map(drop)
}

unsafe extern "C" {
    #[link_name = "environ"]
    static environ: *const *const c_char;
}

/// The program's arguments as constructors get them, made once and kept for good: constructors may
/// keep the pointers.
struct Arguments {
    count: c_int,
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

// SAFETY: the pointers lead into strings that are never changed or freed.
unsafe impl Send for Arguments {}
// SAFETY: as above.
unsafe impl Sync for Arguments {}

static ARGUMENTS: OnceLock<Arguments> = OnceLock::new();
static NO_ARGUMENTS: usize = 0;

impl Arguments {
    fn prepare() {
        ARGUMENTS.get_or_init(|| {
            let strings: Vec<CString> = std::env::args_os()
                .map(|argument: std::ffi::OsString| {
                    CString::new(OsStr::as_bytes(&argument)).unwrap_or_default()
                })
                .collect();
            let pointers: Vec<_> =
                strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
            let count = c_int::try_from(strings.len()).unwrap_or(0);
            Self { count, pointers, _strings: strings }
        });
    }
}
