//! Exceptions that leave the guest: the frame's personality decides which are caught, and what
//! was caught is described and released.

use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, transmute};
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use super::landing::Landing;
use super::thread::Thread;
use super::thrown::{self, Thrown};
use super::{arch, disposition, handler, landing, probe};
use crate::{Exception, Fault, FaultKind};

/// The header every exception of the Itanium ABI begins with.
#[repr(C)]
pub(super) struct UnwindException {
    class: u64,
    cleanup: Option<unsafe extern "C" fn(c_int, *mut UnwindException)>,
    private: [usize; 2],
}

/// What the unwinder asks about the frame in assembly.
///
/// Our own panics go on, and so does forced unwinding (`pthread_exit`, cancellation), which never
/// searches; everything else is caught here. What goes on closes the landing on its way.
pub(super) unsafe extern "C" fn personality(
    _version: c_int,
    actions: c_int,
    class: u64,
    exception: *mut UnwindException,
    context: *mut c_void,
) -> c_int {
    if actions & SEARCH_PHASE != 0 {
        if is_own_panic(class, exception) || !disposition::is_installed() {
            return CONTINUE_UNWIND;
        }
        // SAFETY: in either phase the stack pointer of the frame that the unwinder asks about is
        // where its landing is, and the frame called from there, so that the landing is open.
        unsafe { thrown::note(_Unwind_GetCFA(context) as *mut Landing, exception, context) };
        return HANDLER_FOUND;
    }
    // SAFETY: in the second phase the unwinder passes our frame's context, whose stack pointer is
    // where its landing is; what was called from it has been unwound. The landing expects the
    // exception in this register and the frame's stack pointer, which the unwinder restores.
    unsafe {
        if actions & HANDLER_FRAME == 0 {
            landing::close(_Unwind_GetCFA(context) as *mut Landing);
            return CONTINUE_UNWIND;
        }
        _Unwind_SetGR(context, arch::EXCEPTION_REGISTER, exception as usize);
        _Unwind_SetIP(context, crash_guard_v0_1_land_exception as *const () as usize);
    }
    INSTALL_CONTEXT
}

/// A panic is our own if it is cleaned up by the function that cleans up ours: every copy of
/// std has its own.
fn is_own_panic(class: u64, exception: *mut UnwindException) -> bool {
    if !is_rust(class) {
        return false;
    }
    // SAFETY: the unwinder passes a live exception.
    let cleanup = unsafe { (*exception).cleanup }.map_or(0, |cleanup| cleanup as usize);
    // SAFETY: reads a number from the calling thread's block.
    let this = unsafe { (*arch::thread()).id };
    if LEARNER.load(Ordering::Relaxed) == this {
        OWN_CLEANUP.store(cleanup, Ordering::Relaxed);
    }
    OWN_CLEANUP.load(Ordering::Relaxed) == cleanup
}

/// Learns what our own panics look like, by sending one through a guard.
#[cfg(panic = "unwind")]
pub(super) fn learn_own_panic() {
    unsafe extern "C-unwind" fn panic(_: *mut c_void) {
        std::panic::resume_unwind(Box::new(()));
    }

    // SAFETY: reads a number.
    LEARNER.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: `panic` has nothing to abandon: its panic passes through.
        let _ = unsafe { landing::call(panic, core::ptr::null_mut()) };
    });
    LEARNER.store(NOBODY, Ordering::Relaxed);
}

/// A program that aborts on panics has none of its own.
#[cfg(not(panic = "unwind"))]
pub(super) fn learn_own_panic() {}

/// Describes an exception that was caught, and releases it where its runtime allows that.
///
/// # Safety
///
/// `thrown` must be what the personality caught, whose exception is not to be used afterwards.
pub(super) unsafe fn take(thrown: &Thrown, thread: &Thread) -> Fault {
    let exception = thrown.exception;
    // SAFETY: the unwinder passed a live exception, and it is ours until it is released.
    let class = unsafe { (*exception).class };
    let mut described = Exception::new(class);
    let kind = match class >> 8 {
        GNU_CXX | LLVM_CXX => {
            name_type(exception as usize, class, &mut described);
            // SAFETY: a C++ exception that was caught and is not used again.
            unsafe { release(exception) };
            FaultKind::CxxException
        }
        // Only its own runtime can release a panic: another one's clean-up aborts.
        _ if is_rust(class) => FaultKind::ForeignPanic,
        _ => FaultKind::ForeignException,
    };
    let mut fault = handler::without_context(kind, thread);
    fault.address = Some(exception as usize);
    fault.exception = Some(described);
    fault.return_addresses = thrown.return_addresses();
    fault
}

/// Reads the name of a C++ exception's type. Everything is probed: it is the guest's memory.
fn name_type(exception: usize, class: u64, described: &mut Exception) {
    let is_dependent = class & 0xff == 1;
    let header = if is_dependent && class >> 8 == GNU_CXX {
        // `rethrow_exception`: the first field is the thrown object, behind the real header.
        probe::load(exception - TYPE_BEFORE_HEADER)
            .and_then(|object| object.checked_sub(size_of::<UnwindException>()))
    } else {
        Some(exception)
    };
    let name = header
        .and_then(|header| header.checked_sub(TYPE_BEFORE_HEADER))
        .and_then(probe::load)
        .and_then(|type_info| type_info.checked_add(size_of::<usize>()))
        .and_then(probe::load);
    let Some(name) = name else { return };
    let mut bytes = [0u8; Exception::LONGEST + 1];
    let length = probe::copy_in(name, &mut bytes);
    let text = &bytes[..length];
    // A star marks a type that is compared by address.
    described.set_type_name(text.strip_prefix(b"*").unwrap_or(text));
}

/// Hands a C++ exception back to the runtime that threw it, as a `catch (...)` would, so that
/// `std::uncaught_exceptions` stays right. The exception's destructor is guest code and guarded.
unsafe fn release(exception: *mut UnwindException) {
    struct Runtime {
        begin: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
        end: unsafe extern "C-unwind" fn(),
        exception: *mut UnwindException,
    }

    unsafe extern "C-unwind" fn catch(argument: *mut c_void) {
        // SAFETY: `argument` is the Runtime below; the two functions are what a compiler calls
        // around the body of a `catch`.
        unsafe {
            let runtime = &*argument.cast::<Runtime>();
            (runtime.begin)(runtime.exception.cast());
            (runtime.end)();
        }
    }

    unsafe extern "C-unwind" fn clean_up(argument: *mut c_void) {
        let exception = argument.cast::<UnwindException>();
        // SAFETY: this is how the ABI releases an exception of another language.
        unsafe {
            if let Some(cleanup) = (*exception).cleanup {
                cleanup(FOREIGN_EXCEPTION_CAUGHT, exception);
            }
        }
    }

    // SAFETY: the runtime's module is the one that has the exception's clean-up function; it
    // stays loaded, since the exception's code is in use.
    unsafe {
        let begin = symbol_beside(exception, c"__cxa_begin_catch");
        let end = symbol_beside(exception, c"__cxa_end_catch");
        let _ = if begin.is_null() || end.is_null() {
            landing::call(clean_up, exception.cast())
        } else {
            let mut runtime = Runtime {
                begin: transmute::<
                    *mut c_void,
                    unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                >(begin),
                end: transmute::<*mut c_void, unsafe extern "C-unwind" fn()>(end),
                exception,
            };
            landing::call(catch, (&raw mut runtime).cast())
        };
    }
}

/// A symbol of the module that an exception's clean-up function is in.
unsafe fn symbol_beside(exception: *mut UnwindException, name: &core::ffi::CStr) -> *mut c_void {
    // SAFETY: the exception is live; the handle is closed again, and the module stays loaded
    // because it is in use.
    unsafe {
        let Some(cleanup) = (*exception).cleanup else { return core::ptr::null_mut() };
        let mut module = MaybeUninit::<libc::Dl_info>::zeroed();
        if libc::dladdr(cleanup as *const c_void, module.as_mut_ptr()) == 0 {
            return core::ptr::null_mut();
        }
        let path = module.assume_init().dli_fname;
        let handle = libc::dlopen(path, libc::RTLD_NOLOAD | libc::RTLD_LAZY);
        if handle.is_null() {
            // The main program has no name of its own.
            return libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        }
        let symbol = libc::dlsym(handle, name.as_ptr());
        libc::dlclose(handle);
        symbol
    }
}

/// Both spellings that std has used.
fn is_rust(class: u64) -> bool {
    class == u64::from_be_bytes(*RUST) || class == u64::from_le_bytes(*RUST)
}

static OWN_CLEANUP: AtomicUsize = AtomicUsize::new(0);
static LEARNER: AtomicI32 = AtomicI32::new(NOBODY);
const NOBODY: c_int = -1;

const RUST: &[u8; 8] = b"MOZ\0RUST";
/// Without the last letter, which tells a rethrown exception.
const GNU_CXX: u64 = u64::from_be_bytes(*b"\0GNUCC++");
const LLVM_CXX: u64 = u64::from_be_bytes(*b"\0CLNGC++");
/// `__cxa_exception::exceptionType`, counted back from the header at its end.
const TYPE_BEFORE_HEADER: usize = 80;

const SEARCH_PHASE: c_int = 1;
const HANDLER_FRAME: c_int = 4;
const FOREIGN_EXCEPTION_CAUGHT: c_int = 1;
const HANDLER_FOUND: c_int = 6;
const INSTALL_CONTEXT: c_int = 7;
const CONTINUE_UNWIND: c_int = 8;

unsafe extern "C" {
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    fn _Unwind_SetGR(context: *mut c_void, register: c_int, value: usize);
    fn _Unwind_SetIP(context: *mut c_void, pc: usize);
    /// A place in the assembly, not a function.
    fn crash_guard_v0_1_land_exception();
}
