//! How much text an answer may hold.

/// Text that is stored once and meant many times: a few bytes of a file can stand for gigabytes.
/// This bounds it by the length of the file.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    /// Whether something was left out.
    pub(super) is_spent: bool,
}

impl Budget {
    pub(super) fn of(length: u64) -> Self {
        Self { left: length.saturating_mul(4).saturating_add(16 << 20), is_spent: false }
    }

    /// Whether there is room for so many bytes, which are then taken.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => self.left = left,
            None => self.is_spent = true,
        }
        !self.is_spent
    }
}
