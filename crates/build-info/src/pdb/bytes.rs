//! Little-endian fields out of a record's bytes.

/// What is left of a record.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A string that ends with a NUL, or with the record.
    pub(super) fn text(&mut self) -> &'a [u8] {
        let length = memchr::memchr(0, self.0).unwrap_or(self.0.len());
        let text = self.take(length).unwrap_or_default();
        self.take(1);
        text
    }
}

/// The field at an offset.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Bytes(bytes.get(offset..)?).u16()
}

/// The field at an offset.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Bytes(bytes.get(offset..)?).u32()
}
