//! The functions of `reloader.h`: pointers in, values inside, numbers and pointers out.
//!
//! Every function keeps its panics to itself. Pointers are what the header asks of them, which is
//! the one thing that is taken on trust; what can be checked is.
#![allow(unsafe_code, reason = "the pointers of C callers")]
#![allow(clippy::missing_safety_doc, reason = "reloader.h says what each function asks for")]
#![allow(missing_docs, reason = "reloader.h says what each function does")]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use crash_guard::{Config, Guard};
use reloader::{Context, FailureCode, Snapshot};

use crate::abi::{self, Sized};
use crate::plugin::{Plugin, Settings, utf8};
use crate::status::{Problem, Status};
use crate::text::{c_string, said, say};
use crate::told::{FaultTexts, guarded, told};
use crate::{pdb, section};

/// `reloader`.
///
/// `cr.h` knows the first two members, as hosts of cr have always been able to look them up.
#[repr(C)]
pub struct Handle {
    path: Cell<*const c_char>,
    temp_dir: Cell<*const c_char>,
    /// A call is under way.
    busy: AtomicBool,
    body: UnsafeCell<Body>,
}

struct Body {
    plugin: Plugin,
    _path: CString,
    temp_dir: CString,
}

#[unsafe(no_mangle)]
pub extern "C" fn reloader_message() -> *const c_char {
    said()
}

#[unsafe(no_mangle)]
pub extern "C" fn reloader_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_open(
    path: *const c_char,
    options: *const abi::Options,
    plugin: *mut *mut Handle,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for a pointer to a pointer, or null.
        let out = unsafe { plugin.as_mut() }.ok_or_else(|| null("plugin"))?;
        *out = ptr::null_mut();
        // SAFETY: as the header says.
        let (path, options) = unsafe { (text(path, "path")?, taken_or_empty(options)?) };
        // SAFETY: as the header says.
        let (entry, directory) =
            unsafe { (text_or_null(options.entry), text_or_null(options.temp_dir)) };
        let settings = Settings { entry, temp_dir: directory.map(path_of), plain: options };
        let hook = options.hook.map(|function| (function, AtomicPtr::new(options.hook_data)));
        let mut opened = Plugin::open(path_of(path), &settings, move |event| {
            if let Some((function, data)) = &hook {
                let (event, _text) = told(event);
                // SAFETY: the header asks for a function of this type that returns, and for data
                // that it can be given on the thread that uses the plugin.
                unsafe { function(data.load(Ordering::Relaxed), &raw const event) };
            }
        })?;
        if !options.context.is_null() {
            // SAFETY: the header asks for a context that is valid until the plugin is closed.
            unsafe { lend_fresh(&mut opened, options.context) };
        }
        let temp_dir = directory.unwrap_or_default().to_owned();
        let path = path.to_owned();
        let handle = Handle {
            path: Cell::new(path.as_ptr()),
            temp_dir: Cell::new(temp_dir.as_ptr()),
            busy: AtomicBool::new(false),
            body: UnsafeCell::new(Body { plugin: opened, _path: path, temp_dir }),
        };
        *out = Box::into_raw(Box::new(handle));
        Ok(Status::Ok)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_close(plugin: *mut Handle) -> Status {
    if plugin.is_null() {
        return Status::Ok;
    }
    answer(|| {
        // The guest and the hook may call for the plugin while it is being closed: it is busy then,
        // and freed only afterwards.
        // SAFETY: the header asks for an open plugin.
        unsafe {
            with(plugin, |body| {
                body.plugin.plugin.shut_down();
                Ok(())
            })?;
            drop(Box::from_raw(plugin));
        }
        Ok(Status::Ok)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_set_temp_dir(
    plugin: *mut Handle,
    directory: *const c_char,
) -> Status {
    answer(|| {
        // SAFETY: as the header says.
        let directory = unsafe { text(directory, "directory") }?;
        // SAFETY: the header asks for an open plugin or null.
        let temp_dir = unsafe {
            with(plugin, |body| {
                body.plugin.plugin.set_temp_dir(path_of(directory))?;
                body.temp_dir = directory.to_owned();
                Ok(body.temp_dir.as_ptr())
            })
        }?;
        // SAFETY: it was not null.
        unsafe { (*plugin).temp_dir.set(temp_dir) };
        Ok(Status::Ok)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_context(
    plugin: *mut Handle,
    context: *mut Context,
) -> *mut Context {
    let mut now = ptr::null_mut();
    answer(|| {
        // SAFETY: the header asks for an open plugin or null, and for a context that stays valid.
        unsafe {
            with(plugin, |body| {
                if !context.is_null() {
                    body.plugin.plugin.lend_context(context);
                }
                now = body.plugin.plugin.context_mut();
                Ok(Status::Ok)
            })
        }
    });
    now
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_step(plugin: *mut Handle, value: *mut c_int) -> Status {
    answer(|| {
        // SAFETY: the header asks for an open plugin or null.
        let (status, returned) = unsafe { with(plugin, |body| Ok(body.plugin.step())) }?;
        // SAFETY: the header asks for a pointer to an int, or null.
        if let Some(value) = unsafe { value.as_mut() } {
            *value = returned;
        }
        Ok(status)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_update(
    plugin: *mut Handle,
    context: *mut Context,
    check: c_int,
) -> c_int {
    let mut value = NOTHING_RAN;
    let update = || {
        // SAFETY: the header asks for an open plugin or null, and for a context that stays valid.
        unsafe {
            with(plugin, |body| {
                if !context.is_null() {
                    body.plugin.plugin.lend_context(context);
                }
                value = body.plugin.update(check != 0);
                Ok(Status::Ok)
            })
        }
    };
    answer(update);
    value
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_check(plugin: *mut Handle) -> Status {
    answer(|| {
        // SAFETY: the header asks for an open plugin or null.
        unsafe {
            with(plugin, |body| {
                body.plugin.plugin.check();
                Ok(Status::Ok)
            })
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_roll_back(plugin: *mut Handle, version: c_uint) -> Status {
    answer(|| {
        // SAFETY: the header asks for an open plugin or null.
        unsafe {
            with(plugin, |body| {
                body.plugin.roll_back(version)?;
                Ok(Status::Ok)
            })
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_symbol(
    plugin: *mut Handle,
    name: *const c_char,
    address: *mut *mut c_void,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for a pointer to a pointer, or null.
        let address = unsafe { address.as_mut() }.ok_or_else(|| null("address"))?;
        *address = ptr::null_mut();
        // SAFETY: as the header says.
        let name = utf8(unsafe { text(name, "name") }?, "the symbol's name")?;
        // SAFETY: the header asks for an open plugin or null; a symbol has an address.
        unsafe {
            with(plugin, |body| {
                *address = *body.plugin.plugin.symbol::<*mut c_void>(name)?;
                Ok(Status::Ok)
            })
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_take_snapshot(
    plugin: *mut Handle,
    snapshot: *mut *mut Snapshot,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for a pointer to a pointer, or null.
        let out = unsafe { snapshot.as_mut() }.ok_or_else(|| null("snapshot"))?;
        *out = ptr::null_mut();
        // SAFETY: the header asks for an open plugin or null.
        let taken = unsafe { with(plugin, |body| Ok(body.plugin.plugin.snapshot()?)) }?;
        *out = Box::into_raw(Box::new(taken));
        Ok(Status::Ok)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_restore(
    plugin: *mut Handle,
    snapshot: *const Snapshot,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for a snapshot that was handed out and not freed, or null.
        let snapshot = unsafe { snapshot.as_ref() }.ok_or_else(|| null("snapshot"))?;
        // SAFETY: the header asks for an open plugin or null.
        unsafe {
            with(plugin, |body| {
                body.plugin.restore(snapshot)?;
                Ok(Status::Ok)
            })
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_free_snapshot(snapshot: *mut Snapshot) {
    if !snapshot.is_null() {
        answer(|| {
            // SAFETY: the header asks for a snapshot that was handed out and not freed.
            drop(unsafe { Box::from_raw(snapshot) });
            Ok(Status::Ok)
        });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_state(plugin: *mut Handle, report: *mut abi::Report) -> Status {
    answer(|| {
        // SAFETY: the header asks for an open plugin or null, and a structure of the size it has.
        unsafe {
            let state = with(plugin, |body| Ok(body.plugin.state()))?;
            give(report, state, "report")
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_last_fault(
    plugin: *mut Handle,
    fault: *mut abi::Fault,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for an open plugin or null, and a structure of the size it has.
        unsafe {
            let last = with(plugin, |body| Ok(body.plugin.last_fault()))?;
            give(fault, last.unwrap_or(Sized::EMPTY), "fault")?;
            match last {
                Some(_) => Ok(Status::Ok),
                None => Err(Problem::new(Status::NotFound, "no version has failed")),
            }
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_guarded_call(
    function: Option<unsafe extern "C-unwind" fn(*mut c_void)>,
    argument: *mut c_void,
    deadline: u64,
    fault: *mut abi::Fault,
) -> Status {
    thread_local! {
        static TEXTS: RefCell<FaultTexts> = RefCell::default();
    }
    answer(|| {
        let function = function.ok_or_else(|| null("function"))?;
        let _installed = crash_guard::install(Config::new()).map_err(|error| {
            let status = match error {
                crash_guard::Error::Unsupported => Status::Unsupported,
                _ => Status::Io,
            };
            Problem::new(status, error.to_string())
        })?;
        let guard = match deadline {
            0 => Guard::new(),
            deadline => Guard::new().deadline(Duration::from_nanos(deadline)),
        };
        // SAFETY: the header asks for a function that can be called with this argument; nothing of
        // ours lies between it and the guard.
        let Err(caught) = (unsafe { guard.call_fn(function, argument) }) else {
            return Ok(Status::Ok);
        };
        if !fault.is_null() {
            let caught = TEXTS
                .try_with(|texts| guarded(&caught, &mut texts.borrow_mut()))
                .unwrap_or(Sized::EMPTY);
            // SAFETY: the header asks for a structure of the size it has.
            unsafe { give(fault, caught, "fault") }?;
        }
        Err(Problem::new(Status::Failed, caught.to_string()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_set_pdb_path(
    image: *const c_char,
    target: *const c_char,
    pdb_path: *const c_char,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for text or null.
        let (image, target, pdb_path) = unsafe {
            (text(image, "image")?, text(target, "target")?, text(pdb_path, "pdb_path")?)
        };
        pdb::set_path(path_of(image), path_of(target), utf8(pdb_path, "the PDB's path")?)?;
        Ok(Status::Ok)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_find_section(
    image: *const c_char,
    name: *const c_char,
    section: *mut abi::Section,
) -> Status {
    answer(|| {
        // SAFETY: the header asks for text or null, and a structure of the size it has.
        unsafe {
            let (image, name) = (text(image, "image")?, text(name, "name")?);
            give(section, section::find(path_of(image), name.to_bytes())?, "section")
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reloader_modules(
    each: Option<unsafe extern "C" fn(*mut c_void, *const abi::Module) -> c_int>,
    data: *mut c_void,
) -> Status {
    answer(|| {
        let each = each.ok_or_else(|| null("each"))?;
        for module in elf_sections::sys::modules() {
            let range = module.range();
            let path = c_string(module.path.into_os_string().into_encoded_bytes());
            let build_id = module.build_id.as_deref().unwrap_or_default();
            let it = abi::Module {
                size: size_of::<abi::Module>(),
                path: path.as_ptr(),
                bias: module.bias as u64,
                start: range.start as u64,
                end: range.end as u64,
                build_id: build_id.as_ptr(),
                build_id_size: build_id.len(),
            };
            // SAFETY: the header asks for a function of this type, which returns.
            if unsafe { each(data, &raw const it) } != 0 {
                break;
            }
        }
        Ok(Status::Ok)
    })
}

/// Does the work of a function: its problem becomes a status and a message, and so does a panic.
#[inline]
fn answer(work: impl FnOnce() -> Result<Status, Problem>) -> Status {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(status)) => status,
        Ok(Err(problem)) => {
            say(&problem.message);
            problem.status
        }
        Err(_) => {
            say("a defect of the library");
            Status::Internal
        }
    }
}

/// Works on a plugin that nobody else works on.
///
/// # Safety
/// `plugin` is null or was handed out and has not been closed, and no other thread uses it.
#[inline]
unsafe fn with<T>(
    plugin: *mut Handle,
    work: impl FnOnce(&mut Body) -> Result<T, Problem>,
) -> Result<T, Problem> {
    struct Leaving<'a>(&'a AtomicBool);
    impl Drop for Leaving<'_> {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
    // SAFETY: as the caller promises; only the part inside the cell is ever borrowed exclusively.
    let handle = unsafe { plugin.as_ref() }.ok_or_else(|| null("plugin"))?;
    if handle.busy.load(Ordering::Relaxed) {
        return Err(Problem::new(Status::Busy, "another call for this plugin is under way"));
    }
    handle.busy.store(true, Ordering::Relaxed);
    let _leaving = Leaving(&handle.busy);
    // SAFETY: it was not busy, so nobody on this thread has borrowed it, and no other thread uses
    // it.
    work(unsafe { &mut *handle.body.get() })
}

/// Lends a context that nothing has been written to but `userdata`.
///
/// # Safety
/// It is valid until the plugin is closed.
unsafe fn lend_fresh(plugin: &mut Plugin, context: *mut Context) {
    // SAFETY: as the caller promises; the members are written one by one, as they may not be
    // initialised.
    unsafe {
        (&raw mut (*context).version).write(0);
        (&raw mut (*context).failure).write(FailureCode::NONE);
        (&raw mut (*context).next_version).write(1);
        (&raw mut (*context).last_working_version).write(0);
        plugin.plugin.lend_context(context);
    }
}

/// # Safety
/// `text` is null or ends with a NUL, and lives for as long as is needed.
unsafe fn text_or_null<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// # Safety
/// As [`text_or_null`].
unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a CStr, Problem> {
    // SAFETY: as the caller promises.
    unsafe { text_or_null(text) }.ok_or_else(|| null(name))
}

/// The structure that a caller gives, of whatever size it is there.
///
/// # Safety
/// `from` is null or has as many bytes as its first member says.
unsafe fn taken_or_empty<T: Sized>(from: *const T) -> Result<T, Problem> {
    let mut taken = T::EMPTY;
    if from.is_null() {
        return Ok(taken);
    }
    // SAFETY: the size comes first in each of them.
    let size = known_size::<T>(unsafe { from.cast::<usize>().read_unaligned() })?;
    // SAFETY: both have that many bytes; each member is valid with any of them that C can put there.
    unsafe {
        let behind = size.saturating_sub(size_of::<T>());
        let more = std::slice::from_raw_parts(from.add(1).cast::<u8>(), behind);
        if more.iter().any(|&byte| byte != 0) {
            return Err(Problem::argument("the structure asks for what only a newer library has"));
        }
        let known = size.min(size_of::<T>());
        ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut taken).cast::<u8>(), known);
    }
    Ok(taken)
}

/// Writes as much as the caller's structure has room for; its size stays.
///
/// # Safety
/// `to` is null or has as many bytes as its first member says.
unsafe fn give<T: Sized>(to: *mut T, value: T, name: &str) -> Result<Status, Problem> {
    if to.is_null() {
        return Err(null(name));
    }
    // SAFETY: the size comes first in each of them, and so many bytes may be written.
    unsafe {
        let size = known_size::<T>(to.cast::<usize>().read_unaligned())?;
        let start = size_of::<usize>();
        let room = size.min(size_of::<T>()).saturating_sub(start);
        let from = (&raw const value).cast::<u8>().add(start);
        ptr::copy_nonoverlapping(from, to.cast::<u8>().add(start), room);
    }
    Ok(Status::Ok)
}

fn known_size<T>(size: usize) -> Result<usize, Problem> {
    if (size_of::<usize>()..=LARGEST).contains(&size) {
        return Ok(size);
    }
    Err(Problem::argument(format!(
        "the structure says that its size is {size}; it is {} (initialise it with the macro)",
        size_of::<T>()
    )))
}

/// No structure of any version of the header is larger.
const LARGEST: usize = 4096;
/// What `reloader_update` returns when nothing could run.
const NOTHING_RAN: c_int = -2;

fn null(name: &str) -> Problem {
    Problem::argument(format!("{name} is null"))
}

#[cfg(unix)]
fn path_of(text: &CStr) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(text.to_bytes()))
}

#[cfg(not(unix))]
fn path_of(text: &CStr) -> &Path {
    // What is not UTF-8 is no file's name here.
    Path::new(text.to_str().unwrap_or_default())
}
