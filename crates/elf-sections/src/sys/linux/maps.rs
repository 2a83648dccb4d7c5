//! The kernel's list of a process's mappings, `/proc/PID/maps`.

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::super::module::{FileIdentity, Mapping};

/// This process's mappings of files.
pub(in crate::sys) fn mappings() -> io::Result<Vec<Mapping>> {
    let mut mappings = read(Path::new("/proc/self/maps"))?;
    mappings.retain(|mapping| mapping.identity.inode != 0);
    Ok(mappings)
}

/// All mappings that the kernel lists in a file of this kind.
pub(super) fn read(path: &Path) -> io::Result<Vec<Mapping>> {
    let text = std::fs::read(path)?;
    Ok(text.split(|&byte| byte == b'\n').filter_map(mapping).collect())
}

/// A line of it:
/// `7f6f…000-7f6f…000 r-xp 00001000 fe:01 1234   /path with spaces (deleted)`.
fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let range = addresses(fields.next()?)?;
    let is_executable = fields.next()?.get(2) == Some(&b'x');
    let offset = u64::from_str_radix(std::str::from_utf8(fields.next()?).ok()?, 16).ok()?;
    let device = device(fields.next()?)?;
    let inode = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let path = unescape(fields.next().unwrap_or_default().trim_ascii_start());
    let (path, is_deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) => (path.to_vec(), true),
        None => (path, false),
    };
    let path = OsString::from_vec(path);
    let identity = FileIdentity { device, inode, path, is_deleted };
    Some(Mapping { range, offset, is_executable, identity })
}

fn addresses(field: &[u8]) -> Option<Range<usize>> {
    let (start, end) = std::str::from_utf8(field).ok()?.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

fn device(field: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    let number = |digits| u32::from_str_radix(digits, 16).ok();
    Some(libc::makedev(number(major)?, number(minor)?))
}

/// The kernel writes a newline in a path as `\012`, and nothing else in its place.
fn unescape(path: &[u8]) -> Vec<u8> {
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
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_maps_line_keeps_spaces_newlines_and_the_deleted_mark() {
        let line = b"7f00-7fff r--p 00001000 fe:01 1234     /a b\\012c.so (deleted)";
        let mapping = mapping(line).unwrap();
        assert_eq!(mapping.range, 0x7f00..0x7fff);
        assert_eq!((mapping.identity.inode, mapping.offset), (1234, 0x1000));
        assert!(!mapping.is_executable);
        assert_eq!(mapping.identity.device, libc::makedev(0xfe, 1));
        assert_eq!(mapping.identity.path, OsStr::new("/a b\nc.so"));
        assert!(mapping.identity.is_deleted);
    }

    #[test]
    fn the_vdso_is_a_mapping_of_no_file_and_broken_lines_are_none() {
        let vdso = mapping(b"7f00-7fff r-xp 00000000 00:00 0   [vdso]").unwrap();
        assert!(vdso.identity.inode == 0 && vdso.is_executable && vdso.offset == 0);
        assert_eq!(vdso.identity.path, "[vdso]");
        assert_eq!(mapping(b""), None);
        assert_eq!(mapping(b"7f00 rw-p"), None);
    }
}
