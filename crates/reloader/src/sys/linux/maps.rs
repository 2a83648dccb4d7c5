//! The process's memory map.

use std::ops::Range;
use std::path::Path;

/// The writable private memory that belongs to no file: heaps and anonymous mappings, lowest first.
pub(crate) fn writable_memory() -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    each_mapping(|range, flags, name| {
        let heap = name.is_empty() || name == "[heap]" || name.starts_with("[anon");
        if heap && flags.starts_with("rw-p") {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
    });
    ranges
}

/// All that is mapped, lowest first.
pub(crate) fn mappings() -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    each_mapping(|range, _, _| ranges.push(range));
    ranges
}

/// Whether anything of this file is mapped.
pub(crate) fn is_mapped(file: &Path) -> bool {
    let Some(file) = file.to_str() else { return true };
    let mut found = false;
    each_mapping(|_, _, name| {
        found |= name == file || name.strip_suffix(" (deleted)") == Some(file);
    });
    found
}

/// Calls `each` with the range, the permissions and the name of each mapping (`proc_pid_maps(5)`).
fn each_mapping(mut each: impl FnMut(Range<usize>, &str, &str)) {
    let Ok(maps) = std::fs::read("/proc/self/maps") else { return };
    for line in maps.split(|&byte| byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut fields = line.splitn(6, ' ');
        let (Some(range), Some(flags)) = (fields.next(), fields.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) =
            (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        else {
            continue;
        };
        let name = fields.nth(3).unwrap_or("").trim_start();
        each(start..end, flags, name);
    }
}
