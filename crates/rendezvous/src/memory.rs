//! Where a target's bytes come from.

mod bytes;

pub use bytes::Bytes;

/// The memory of a target: a process, this one or another, the core file of one that is dead, or
/// bytes that a test has laid out.
///
/// An address is the target's own. Reading changes nothing in the target and does not stop it, so
/// that what two reads give need not have been true at the same time; [`Rendezvous::snapshot`]
/// says how it finds out.
///
/// [`Rendezvous::snapshot`]: crate::Rendezvous::snapshot
pub trait Memory {
    /// Fills the buffer with the bytes from `address` on.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read. What is in the buffer then is unspecified.
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError>;

    /// Fills many buffers, each with the bytes from its address on, for less than reading them one
    /// by one would cost.
    ///
    /// # Errors
    ///
    /// If a byte cannot be read: the error's address is that of a buffer, and all buffers before
    /// it are filled.
    fn read_many(&self, reads: &mut [(u64, &mut [u8])]) -> Result<(), ReadError> {
        reads.iter_mut().try_for_each(|(address, buffer)| self.read_exact_at(*address, buffer))
    }

    /// Reads from `address` up to the first byte that cannot be read or the end of the buffer,
    /// whichever comes first, and says how many bytes that were.
    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        if self.read_exact_at(address, buffer).is_ok() {
            return buffer.len();
        }
        // What can be read ends where a page does.
        let to_boundary = PAGE.wrapping_sub(usize::try_from(address % PAGE_U64).unwrap_or(0));
        let (first, rest) = buffer.split_at_mut(to_boundary.min(buffer.len()));
        let mut read = 0_usize;
        for page in std::iter::once(first).chain(rest.chunks_mut(PAGE)) {
            let Some(at) = u64::try_from(read).ok().and_then(|read| address.checked_add(read))
            else {
                break;
            };
            if self.read_exact_at(at, page).is_err() {
                break;
            }
            read = read.saturating_add(page.len());
        }
        read
    }

    /// Whether two reads of the same address may differ. Where they cannot, nothing is read twice.
    fn can_change(&self) -> bool {
        true
    }
}

impl<M: Memory + ?Sized> Memory for &M {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_exact_at(address, buffer)
    }

    fn read_many(&self, reads: &mut [(u64, &mut [u8])]) -> Result<(), ReadError> {
        (**self).read_many(reads)
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        (**self).read_up_to(address, buffer)
    }

    fn can_change(&self) -> bool {
        (**self).can_change()
    }
}

/// Bytes that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length:#x} bytes at {address:#x}: {reason}")]
pub struct ReadError {
    /// The address of the first of the bytes wanted.
    pub address: u64,
    /// How many were wanted.
    pub length: usize,
    /// Why they could not be read.
    pub reason: Unreadable,
}

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Nothing readable is there.
    #[error("not mapped")]
    Unmapped,
    /// Something was there that the core file does not hold.
    #[error("not in the core file")]
    NotDumped,
    /// The process no longer exists.
    #[error("the process is gone")]
    Gone,
    /// The system does not let this program read the process.
    #[error("not permitted")]
    Refused,
    /// Any other failure, by the system's number for it.
    #[error("system error {0}")]
    System(i32),
}

impl ReadError {
    pub(crate) fn new(address: u64, length: usize, reason: Unreadable) -> ReadError {
        ReadError { address, length, reason }
    }
}

/// The bytes from `address` on, `wanted` of them or as many as there are: what a target claims to
/// have is allocated as it is found.
pub(crate) fn read_available<M: Memory + ?Sized>(
    memory: &M,
    address: u64,
    wanted: usize,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < wanted {
        let start = bytes.len();
        let piece = wanted.saturating_sub(start).min(PAGE);
        let Some(at) = u64::try_from(start).ok().and_then(|start| address.checked_add(start))
        else {
            break;
        };
        bytes.resize(start.saturating_add(piece), 0);
        let length = bytes.get_mut(start..).map_or(0, |piece| memory.read_up_to(at, piece));
        bytes.truncate(start.saturating_add(length));
        if length < piece {
            break;
        }
    }
    bytes
}

/// The smallest unit in which memory is mapped on any system that has a loader.
pub(crate) const PAGE: usize = 4096;
pub(crate) const PAGE_U64: u64 = PAGE as u64;
