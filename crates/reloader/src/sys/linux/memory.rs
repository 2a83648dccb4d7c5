//! Memory by address, through the fault guard's probes: an address that is not mapped is an answer,
//! not a crash.

use std::sync::OnceLock;

use crash_guard::probe;

/// Copies `buffer.len()` bytes from `address`; false, with part of it copied, where they are not
/// readable.
#[must_use]
pub(crate) fn read(address: usize, buffer: &mut [u8]) -> bool {
    if is_watched() { read_unwatched(address, buffer) } else { read_here(address, buffer) }
}

/// The same, done by the kernel: for the stack of another thread, of which a tool that watches each
/// access of the program (valgrind) knows nothing.
#[must_use]
pub(crate) fn read_unwatched(address: usize, buffer: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: both structures are read during the call, and the kernel writes to `buffer` alone.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    // Where a filter forbids the call, the program reads by itself.
    usize::try_from(copied).is_ok_and(|copied| copied == buffer.len()) || read_here(address, buffer)
}

fn read_here(address: usize, buffer: &mut [u8]) -> bool {
    probe::copy(address, buffer) == buffer.len()
}

/// Whether valgrind watches what is done with memory that nobody has written to: a search for
/// pointers looks at it as at all other.
fn is_watched() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| {
        // It is loaded into the program that way.
        let preloaded = std::env::var_os("LD_PRELOAD").unwrap_or_default();
        preloaded.to_string_lossy().contains("vgpreload_memcheck")
    })
}

/// Writes `bytes` to `address`; false, with part of it written, where that is not writable.
///
/// Callers pass the state of a version that is mapped and not running, or a word that they have
/// just read.
#[must_use]
pub(crate) fn write(address: usize, bytes: &[u8]) -> bool {
    // SAFETY: see above: the bytes belong to the guest, and no Rust reference to them exists.
    unsafe { probe::write(address, bytes) == bytes.len() }
}

/// Copies the state of one version to another's place; false where one of them is not accessible.
///
/// Both are memory of versions that are mapped, and neither runs.
#[must_use]
pub(crate) fn copy(source: usize, target: usize, length: usize) -> bool {
    // SAFETY: the source is a variable of an image that the loader holds, so that it is mapped and
    // initialised; the target is another one's. Should either have become inaccessible after all,
    // the probe says so.
    unsafe {
        let source = std::slice::from_raw_parts(source as *const u8, length);
        probe::write(target, source) == length
    }
}

/// Whether the page of `address` is mapped in any way.
pub(crate) fn page_is_mapped(address: usize) -> bool {
    let page = page_size();
    let mut residency = 0u8;
    // SAFETY: `mincore` reads no user memory but writes one byte for the one page it is asked
    // about.
    let result = unsafe {
        libc::mincore((address & !(page - 1)) as *mut libc::c_void, page, &raw mut residency)
    };
    result == 0
}

pub(super) fn page_size() -> usize {
    // SAFETY: no pointers; the page size is always known.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
