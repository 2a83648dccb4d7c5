//! Platforms on which guests cannot be loaded yet. Files are handled everywhere; whatever would
//! need a loaded image says that there is none.

use std::ffi::{OsString, c_void};
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::time::UNIX_EPOCH;

use crash_guard::Fault;

use crate::contract::Main;
use crate::entry::Caller;

/// Nothing is known of descriptors here.
#[derive(Debug)]
pub(crate) struct Descriptors;

impl Descriptors {
    pub(crate) fn opened_by<T>(open: impl FnOnce() -> T) -> (T, Option<Self>) {
        (open(), Some(Self))
    }

    pub(crate) fn are_there(&self) -> bool {
        true
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Kept(#[expect(dead_code, reason = "it is kept open")] File);

impl Kept {
    pub(crate) fn new(file: File) -> Self {
        Self(file)
    }

    pub(crate) fn is_there(&self) -> bool {
        true
    }
}

pub(crate) fn undisturbed<T>(start: impl FnOnce() -> T) -> T {
    start()
}

pub(crate) fn identity(metadata: &Metadata) -> [u64; 7] {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.unwrap_or_default();
    [0, 0, metadata.len(), modified.as_secs(), u64::from(modified.subsec_nanos()), 0, 0]
}

pub(crate) fn being_written(_: &File) -> Option<bool> {
    None
}

pub(crate) fn open_build(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(crate) fn is_shared(_: &File) -> bool {
    true
}

pub(crate) fn try_lock(_: &File) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn is_own_directory(_: &Metadata) -> bool {
    false
}

pub(crate) fn make_private(_: &mut tempfile::Builder<'_, '_>) {}

pub(crate) fn has_loader_variable(_: &Path) -> bool {
    false
}

pub(crate) fn file_name(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

pub(crate) fn process() -> u32 {
    std::process::id()
}

pub(crate) fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the callers pass a private copy that is changed only while it is not mapped.
    unsafe { memmap2::Mmap::map(file) }
}

pub(crate) fn read(_: usize, _: &mut [u8]) -> bool {
    false
}

pub(crate) fn write(_: usize, _: &[u8]) -> bool {
    false
}

pub(crate) fn copy(_: usize, _: usize, _: usize) -> bool {
    false
}

#[derive(Debug)]
pub(crate) enum Spare {}

pub(crate) fn renew(_: &Range<usize>, _: &mut Option<Spare>) -> bool {
    false
}

pub(crate) fn salvage(_: &Range<usize>) -> Option<Spare> {
    None
}

pub(crate) fn page_is_mapped(_: usize) -> bool {
    false
}

pub(crate) fn writable_memory() -> Vec<Range<usize>> {
    Vec::new()
}

pub(crate) fn is_mapped(_: &Path) -> bool {
    false
}

pub(crate) fn thread_inside(_: &Range<usize>) -> Option<u32> {
    None
}

/// There is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handle {}

#[expect(dead_code, reason = "nothing is opened here")]
pub(crate) enum Opening {
    Opened(Handle),
    Refused(String),
    Faulted(Box<Fault>),
}

pub(crate) fn open(_: &Caller, _: &Path) -> Opening {
    Opening::Refused("guests cannot be loaded on this platform yet".to_owned())
}

pub(crate) fn close(_: &Caller, handle: Handle) -> Result<(), Fault> {
    match handle {}
}

pub(crate) fn records(handle: &Handle) -> Vec<usize> {
    match *handle {}
}

pub(crate) fn bias_of(handle: &Handle) -> Option<usize> {
    match *handle {}
}

pub(crate) fn symbol(handle: &Handle, _: &str) -> Option<NonNull<c_void>> {
    match *handle {}
}

pub(crate) fn as_main(symbol: NonNull<c_void>) -> Main {
    // SAFETY: never called: there is no handle to have got the symbol from.
    unsafe { std::mem::transmute::<NonNull<c_void>, Main>(symbol) }
}

pub(crate) fn is_loaded(_: usize, _: &Path) -> bool {
    false
}

pub(crate) fn call_initializer(_: &Caller, _: usize) -> Result<(), Fault> {
    Ok(())
}

pub(crate) fn call_finalizer(_: &Caller, _: usize) -> Result<(), Fault> {
    Ok(())
}

pub(crate) fn call_destructor(_: &Caller, _: &Exit) -> Result<(), Fault> {
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) object: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration;

impl Registration {
    pub(crate) const ALL: [(&'static str, Self); 0] = [];
}

pub(crate) fn divert(_: &[usize], _: Registration) -> bool {
    true
}

pub(crate) fn forget_image(_: &Range<usize>) {}

pub(crate) fn handled_signal(_: &Range<usize>) -> Option<i32> {
    None
}

pub(crate) fn range_of(handle: &Handle) -> Option<Range<usize>> {
    match *handle {}
}

pub(crate) fn exit_records() -> Vec<usize> {
    Vec::new()
}

pub(crate) fn threads_have_exits(_: &Range<usize>) -> bool {
    false
}

pub(crate) fn take_exits(_: &Range<usize>) -> Vec<Exit> {
    Vec::new()
}

pub(crate) fn return_exits(_: Vec<Exit>) {}

pub(crate) fn forget_exits(_: &Range<usize>) {}
