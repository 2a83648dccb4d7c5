use std::{
    ffi::{c_int, c_uint, c_void},
    mem::offset_of,
};

/// `struct cr_plugin`, which belongs to the host.
///
/// Enums of C are integers here, because a host may be newer than the guest and store a number that
/// no variant has.
#[repr(C)]
pub struct Plugin {
    pub(crate) host: *mut c_void,
    pub(crate) userdata: *mut c_void,
    pub(crate) version: c_uint,
    pub(crate) failure: c_int,
    pub(crate) next_version: c_uint,
    pub(crate) last_working_version: c_uint,
}

const _: () = {
    let pointer = size_of::<*mut c_void>();
    assert!(size_of::<Plugin>() == 2 * pointer + 16);
    assert!(align_of::<Plugin>() == align_of::<*mut c_void>());
    assert!(offset_of!(Plugin, host) == 0);
    assert!(offset_of!(Plugin, userdata) == pointer);
    assert!(offset_of!(Plugin, version) == 2 * pointer);
    assert!(offset_of!(Plugin, failure) == 2 * pointer + 4);
    assert!(offset_of!(Plugin, next_version) == 2 * pointer + 8);
    assert!(offset_of!(Plugin, last_working_version) == 2 * pointer + 12);
};
