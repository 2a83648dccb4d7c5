//! What the watcher and the keeper say to each other.

use super::ptrace_registers::Text;

/// One message in either direction.
#[derive(Clone, Copy)]
pub(super) struct Message {
    pub(super) kind: u64,
    /// A thread or an error's number.
    pub(super) value: u64,
    pub(super) spots: Spots,
}

/// Where the target is to stop: at as many places as a processor has registers for.
pub(super) type Spots = [Spot; MOST_PLACES];

/// One such place.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spot {
    /// 0: nowhere.
    pub(super) address: u64,
    /// The bytes that are there without a breakpoint.
    pub(super) text: Text,
}

impl Message {
    /// To the keeper: stop at these places.
    pub(super) const ARM: u64 = 1;
    /// To the keeper: let this thread go on.
    pub(super) const GO: u64 = 2;
    /// Every thread is attached.
    pub(super) const ATTACHED: u64 = 3;
    /// Every thread will stop at the places.
    pub(super) const ARMED: u64 = 4;
    /// This thread is stopped at one of the places.
    pub(super) const HIT: u64 = 5;
    /// This thread is stopped at the start of another program.
    pub(super) const EXEC: u64 = 6;
    /// The process has ended.
    pub(super) const EXIT: u64 = 7;
    /// A stopped thread went on because the watcher did not answer.
    pub(super) const LATE: u64 = 9;
    /// The kernel says no, by this number.
    pub(super) const REFUSED: u64 = 8;

    /// One without places.
    pub(super) fn new(kind: u64, value: u64) -> Self {
        Self { kind, value, spots: Spots::default() }
    }

    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let of_spots = self.spots.map(|it| [it.address.to_ne_bytes(), it.text]);
        let head = [self.kind.to_ne_bytes(), self.value.to_ne_bytes()];
        let words = head.as_slice().iter().chain(of_spots.as_flattened());
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(word);
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let word = |index: usize| -> [u8; 8] {
            let bytes = bytes.chunks_exact(8).nth(index).unwrap_or_default();
            bytes.try_into().unwrap_or_default()
        };
        let spot = |index: usize| Spot {
            address: u64::from_ne_bytes(word(index.saturating_mul(2).saturating_add(2))),
            text: word(index.saturating_mul(2).saturating_add(3)),
        };
        Self {
            kind: u64::from_ne_bytes(word(0)),
            value: u64::from_ne_bytes(word(1)),
            spots: std::array::from_fn(spot),
        }
    }
}

/// How many places there can be.
pub(super) const MOST_PLACES: usize = 4;
/// Bytes of a message.
pub(super) const SIZE: usize = 16 + MOST_PLACES * 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let spots = std::array::from_fn(|index| Spot {
            address: 0x1000 + index as u64,
            text: [index as u8; 8],
        });
        let message = Message { kind: Message::ARM, value: 7, spots };
        let read = Message::from_bytes(&message.to_bytes());
        assert_eq!((read.kind, read.value), (Message::ARM, 7));
        assert!(read.spots == spots);
    }
}
