//! The functions of `reloader.h`: pointers in, values inside, numbers and pointers out.
//!
//! Every function keeps its panics to itself. Pointers are what the header asks of them, which is
//! the one thing that is taken on trust; what can be checked is.
#![allow(unsafe_code, reason = "the pointers of C callers")]
#![allow(clippy::missing_safety_doc, reason = "reloader.h says what each function asks for")]
#![allow(missing_docs, reason = "reloader.h says what each function does")]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use crash_guard::{Config, Guard};
use reloader::{Context, Snapshot};

use crate::abi::{self, Sized};
use crate::plugin::{Plugin, Settings, utf8};
use crate::status::{Problem, Status};
use crate::text::{c_string, said, say};
use crate::told::{FaultTexts, guarded, told};
use crate::{pdb, section};

mod handle;
mod pointers;
mod update;

pub use handle::Handle;
use handle::{Body, lend_fresh, with};
use pointers::{give, null, path_of, size_of_given, taken_or_empty, text, text_or_null};
pub use update::reloader_update;

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
    // The guest and the hook may call for the plugin while it is being closed: it is busy then, and
    // freed only afterwards.
    let shut_down = answer(|| {
        // SAFETY: the header asks for an open plugin.
        unsafe {
            with(plugin, |body| {
                body.plugin.plugin.shut_down();
                Ok(Status::Ok)
            })
        }
    });
    if shut_down == Status::Busy {
        return shut_down;
    }
    // SAFETY: it was handed out by `reloader_open`, and nobody is at work on it.
    let freed = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(plugin) })));
    match freed {
        Ok(()) => shut_down,
        // The watch on the file panics if its descriptors are not there any more. The rest is freed
        // all the same, and so is the plugin.
        Err(_) => {
            say(NOT_IN_ORDER);
            Status::Io
        }
    }
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
        if !fault.is_null() {
            // SAFETY: the header asks for a structure of the size it has.
            unsafe { size_of_given(fault) }?;
        }
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
            say(DEFECT);
            Status::Internal
        }
    }
}

const NOT_IN_ORDER: &str = "the plugin is closed and freed, but not all of it could be ended in \
    order; were its file descriptors closed by somebody else?";
const DEFECT: &str = "a defect of the library; the standard error has more";
