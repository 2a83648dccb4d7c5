//! The structures and numbers of `reloader.h`.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;

use reloader::Context;

/// `reloader_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Options {
    pub(crate) size: usize,
    pub(crate) entry: *const c_char,
    pub(crate) temp_dir: *const c_char,
    pub(crate) context: *mut Context,
    pub(crate) hook: Option<Hook>,
    pub(crate) hook_data: *mut c_void,
    pub(crate) deadline: u64,
    pub(crate) search_limit: u64,
    pub(crate) flags: c_uint,
    pub(crate) policy: c_uint,
    pub(crate) history: c_int,
    pub(crate) poll: c_uint,
}

/// `reloader_hook`.
pub type Hook = unsafe extern "C" fn(data: *mut c_void, event: *const Event);

/// `reloader_event`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Event {
    pub(crate) size: usize,
    pub(crate) kind: c_int,
    pub(crate) version: c_uint,
    pub(crate) from: c_uint,
    pub(crate) failure: c_int,
    pub(crate) nanoseconds: u64,
    pub(crate) text: *const c_char,
}

/// `reloader_report`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Report {
    pub(crate) size: usize,
    pub(crate) version: c_uint,
    pub(crate) oldest: c_uint,
    pub(crate) steps: u64,
    pub(crate) bytes: u64,
    pub(crate) carried: c_uint,
    pub(crate) added: c_uint,
    pub(crate) dropped: c_uint,
    pub(crate) resized: c_uint,
    pub(crate) refused: c_uint,
    pub(crate) translated: c_uint,
    pub(crate) untranslated: c_uint,
    pub(crate) reserved: c_uint,
    pub(crate) text: *const c_char,
}

/// `reloader_fault`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Fault {
    pub(crate) size: usize,
    pub(crate) kind: c_int,
    pub(crate) failure: c_int,
    pub(crate) version: c_uint,
    pub(crate) signal: c_int,
    pub(crate) value: c_int,
    pub(crate) has_address: c_int,
    pub(crate) address: u64,
    pub(crate) pc: u64,
    pub(crate) function: *const c_char,
    pub(crate) file: *const c_char,
    pub(crate) line: c_uint,
    pub(crate) tainted: c_int,
    pub(crate) text: *const c_char,
}

/// `reloader_section`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Section {
    pub(crate) size: usize,
    pub(crate) address: u64,
    pub(crate) memory_size: u64,
    pub(crate) offset: u64,
    pub(crate) file_size: u64,
    pub(crate) loaded_at: u64,
}

/// `reloader_module`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Module {
    pub(crate) size: usize,
    pub(crate) path: *const c_char,
    pub(crate) bias: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) build_id: *const u8,
    pub(crate) build_id_size: usize,
}

/// A structure that begins with its size, which a caller compiled against another version of the
/// header gives.
pub(crate) trait Sized: Copy {
    /// One with nothing in it but its size.
    const EMPTY: Self;
}

impl Sized for Options {
    const EMPTY: Self = Self {
        size: size_of::<Self>(),
        entry: ptr::null(),
        temp_dir: ptr::null(),
        context: ptr::null_mut(),
        hook: None,
        hook_data: ptr::null_mut(),
        deadline: 0,
        search_limit: 0,
        flags: 0,
        policy: 0,
        history: 0,
        poll: 0,
    };
}

impl Sized for Report {
    const EMPTY: Self = Self {
        size: size_of::<Self>(),
        version: 0,
        oldest: 0,
        steps: 0,
        bytes: 0,
        carried: 0,
        added: 0,
        dropped: 0,
        resized: 0,
        refused: 0,
        translated: 0,
        untranslated: 0,
        reserved: 0,
        text: c"".as_ptr(),
    };
}

impl Sized for Fault {
    const EMPTY: Self = Self {
        size: size_of::<Self>(),
        kind: 0,
        failure: 0,
        version: 0,
        signal: 0,
        value: 0,
        has_address: 0,
        address: 0,
        pc: 0,
        function: ptr::null(),
        file: ptr::null(),
        line: 0,
        tainted: 0,
        text: c"".as_ptr(),
    };
}

impl Sized for Section {
    const EMPTY: Self = Self {
        size: size_of::<Self>(),
        address: 0,
        memory_size: 0,
        offset: 0,
        file_size: 0,
        loaded_at: 0,
    };
}

pub(crate) const AS_CR: c_uint = 1;
pub(crate) const UNTAGGED: c_uint = 2;
pub(crate) const MAY_BE_MISSING: c_uint = 4;
pub(crate) const RETRY_KNOWN_BAD: c_uint = 8;
pub(crate) const MANUAL: c_uint = 16;
pub(crate) const IGNORE_DEPENDENCIES: c_uint = 32;
pub(crate) const ALL_FLAGS: c_uint = 63;

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Options>() == 80);
    assert!(size_of::<Event>() == 40);
    assert!(size_of::<Report>() == 72);
    assert!(size_of::<Fault>() == 80);
    assert!(size_of::<Section>() == 48);
    assert!(size_of::<Module>() == 56);
};
