//! What is mapped where.

use std::ops::Range;

use crate::module::{FileIdentity, MappedFile};

/// Who knows what is mapped at an address.
pub trait Mappings {
    /// The mapping that has the address; `None` if nothing is mapped there, or nobody knows.
    fn mapping_at(&self, address: u64) -> Option<Mapping>;
}

impl<M: Mappings + ?Sized> Mappings for &M {
    fn mapping_at(&self, address: u64) -> Option<Mapping> {
        (**self).mapping_at(address)
    }
}

/// Addresses with one meaning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// The addresses.
    pub range: Range<u64>,
    /// The offset in the file of the first of them.
    pub offset: u64,
    /// The file; `None` for memory that is of no file.
    pub file: Option<MappedFile>,
}

/// Mappings that were all read at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingTable {
    /// By address.
    mappings: Vec<Mapping>,
}

impl MappingTable {
    /// The lines of `/proc/PID/maps`; those that are none are left out.
    pub fn parse_maps(text: &[u8]) -> MappingTable {
        text.split(|&byte| byte == b'\n').filter_map(Mapping::parse).collect()
    }

    /// The mappings, by address.
    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.mappings.iter()
    }
}

impl Mappings for MappingTable {
    fn mapping_at(&self, address: u64) -> Option<Mapping> {
        let next = self.mappings.partition_point(|mapping| mapping.range.start <= address);
        let mapping = self.mappings.get(next.checked_sub(1)?)?;
        mapping.range.contains(&address).then(|| mapping.clone())
    }
}

impl FromIterator<Mapping> for MappingTable {
    fn from_iter<I: IntoIterator<Item = Mapping>>(mappings: I) -> MappingTable {
        let mut mappings: Vec<Mapping> = mappings.into_iter().collect();
        mappings.sort_by_key(|mapping| mapping.range.start);
        MappingTable { mappings }
    }
}

impl Mapping {
    /// A line: `7f6f…000-7f6f…000 r-xp 00001000 fe:01 1234   /path with spaces (deleted)`.
    fn parse(line: &[u8]) -> Option<Mapping> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let mut field = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
        let (start, end) = field()?.split_once('-')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        let _permissions = field()?;
        let offset = u64::from_str_radix(field()?, 16).ok()?;
        let (major, minor) = field()?.split_once(':')?;
        let number = |digits| u32::from_str_radix(digits, 16).ok();
        let device = device(number(major)?, number(minor)?);
        let inode = field()?.parse().ok()?;
        let path = unescape(fields.next().unwrap_or_default().trim_ascii_start());
        let identity = FileIdentity { device, inode };
        let file = (inode != 0).then(|| MappedFile::new(&path, Some(identity)));
        Some(Mapping { range, offset, file })
    }
}

/// A device's number as [`FileIdentity`] has it.
pub(crate) fn device(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

/// The kernel writes a newline in a path as `\012`, and nothing else in its place.
pub(crate) fn unescape(path: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(b"\\012") {
            unescaped.push(b'\n');
            rest = tail;
        } else {
            unescaped.push(byte);
            rest = tail;
        }
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_spaces_newlines_and_the_deleted_mark() {
        let line = b"7f00-7fff r--p 00001000 fe:01 1234     /a b\\012c.so (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.range, mapping.offset), (0x7f00..0x7fff, 0x1000));
        let file = mapping.file.unwrap();
        assert_eq!(file.path, b"/a b\nc.so");
        assert!(file.is_deleted);
        let identity = FileIdentity { device: 0xfe_0000_0001, inode: 1234 };
        assert_eq!(file.identity, Some(identity));
    }

    #[test]
    fn memory_of_no_file_has_none_and_broken_lines_are_left_out() {
        let text = b"7f00-7fff rw-p 00000000 00:00 0   [heap]\n\n7f00 rw-p\nx-y r z 0:0 0\n";
        let table = MappingTable::parse_maps(text);
        assert_eq!(table.iter().count(), 1);
        assert_eq!(table.mapping_at(0x7f00).unwrap().file, None);
        assert_eq!(table.mapping_at(0x7fff), None);
        assert_eq!(table.mapping_at(0), None);
    }
}
