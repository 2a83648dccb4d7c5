//! `process_vm_readv`.

#![allow(unsafe_code, reason = "gives the kernel addresses of buffers to fill")]

use std::io;

/// Reads from a process into buffers, one after the other, and says how many bytes it read before
/// the first that it could not read.
///
/// # Errors
///
/// If it can read none at all.
pub(super) fn read(pid: u32, reads: &mut [(u64, &mut [u8])]) -> io::Result<usize> {
    // Preparing large tables would cost as much as a small read.
    if reads.len() <= FEW_READS {
        read_at_most::<FEW_READS>(pid, reads)
    } else {
        read_at_most::<MOST_READS>(pid, reads)
    }
}

fn read_at_most<const N: usize>(pid: u32, reads: &mut [(u64, &mut [u8])]) -> io::Result<usize> {
    debug_assert!(reads.len() <= N);
    let mut local = [EMPTY; N];
    let mut remote = [EMPTY; N];
    let slots = local.iter_mut().zip(&mut remote);
    for ((address, buffer), (local, remote)) in reads.iter_mut().zip(slots) {
        // An address that this process's pointers cannot hold is in no process on this machine.
        let address = usize::try_from(*address).map_err(|_| io::ErrorKind::InvalidInput)?;
        *local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        *remote = libc::iovec {
            iov_base: std::ptr::without_provenance_mut(address),
            iov_len: buffer.len(),
        };
    }
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    let count = reads.len().min(N) as libc::c_ulong;
    // SAFETY: the first `count` of `local` are the buffers that `reads` lends exclusively until
    // this function returns. What `remote` has is never dereferenced here: the kernel looks it up
    // in the other process, and only reads there.
    let read =
        unsafe { libc::process_vm_readv(pid, local.as_ptr(), count, remote.as_ptr(), count, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// How many reads one call takes: a part of the kernel's limit of 1024, so that the tables are
/// small enough for any stack.
pub(super) const MOST_READS: usize = 256;

const FEW_READS: usize = 8;

const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
