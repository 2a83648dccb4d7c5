//! What the watcher and the keeper say to each other.

use super::ptrace_registers::Text;

/// One message in either direction.
#[derive(Clone, Copy)]
pub(super) struct Message {
    pub(super) kind: u64,
    /// An address, a thread or an error's number.
    pub(super) value: u64,
    /// The bytes at the address.
    pub(super) text: Text,
}

impl Message {
    /// To the keeper: stop at this address.
    pub(super) const ARM: u64 = 1;
    /// To the keeper: let this thread go on.
    pub(super) const GO: u64 = 2;
    /// Every thread is attached.
    pub(super) const ATTACHED: u64 = 3;
    /// Every thread will stop at the address.
    pub(super) const ARMED: u64 = 4;
    /// This thread is stopped at the address.
    pub(super) const HIT: u64 = 5;
    /// This thread is stopped at the start of another program.
    pub(super) const EXEC: u64 = 6;
    /// The process has ended.
    pub(super) const EXIT: u64 = 7;
    /// A stopped thread went on because the watcher did not answer.
    pub(super) const LATE: u64 = 9;
    /// The kernel says no, by this number.
    pub(super) const REFUSED: u64 = 8;

    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (kind, rest) = bytes.split_at_mut(8);
        let (value, text) = rest.split_at_mut(8);
        kind.copy_from_slice(&self.kind.to_ne_bytes());
        value.copy_from_slice(&self.value.to_ne_bytes());
        text.copy_from_slice(&self.text);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let word = |at: usize| -> [u8; 8] {
            std::array::from_fn(|i| bytes.get(at.saturating_add(i)).copied().unwrap_or(0))
        };
        Self {
            kind: u64::from_ne_bytes(word(0)),
            value: u64::from_ne_bytes(word(8)),
            text: word(16),
        }
    }
}

/// Bytes of a message.
pub(super) const SIZE: usize = 24;
