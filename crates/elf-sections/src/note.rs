//! Notes, of which the build ID is the one that tells two builds apart.

use object::elf;

use crate::layout::Layout;

/// The descriptor of the first note of this name and kind.
///
/// `align` is the segment's or section's: notes are padded to 8 bytes where it says so and to 4
/// everywhere else.
pub(crate) fn find<'data>(
    layout: Layout,
    mut bytes: &'data [u8],
    align: u64,
    name: &[u8],
    kind: u32,
) -> Option<&'data [u8]> {
    let align = if align == 8 { 8 } else { 4 };
    loop {
        let name_size = usize::try_from(layout.u32(bytes)?).ok()?;
        let size = usize::try_from(layout.u32(bytes.get(4..)?)?).ok()?;
        let found_kind = layout.u32(bytes.get(8..)?)?;
        let name_end = name_size.checked_add(HEADER)?;
        let found_name = bytes.get(HEADER..name_end)?;
        let start = name_end.checked_next_multiple_of(align)?;
        let end = start.checked_add(size)?;
        let descriptor = bytes.get(start..end)?;
        if found_kind == kind && found_name.strip_suffix(b"\0").unwrap_or(found_name) == name {
            return Some(descriptor);
        }
        bytes = bytes.get(end.checked_next_multiple_of(align)?..)?;
    }
}

/// The name and kind under which every linker writes the build ID.
pub(crate) const BUILD_ID: (&[u8], u32) = (b"GNU", elf::NT_GNU_BUILD_ID.0);

/// The size of a note's header in both classes.
const HEADER: usize = 12;
