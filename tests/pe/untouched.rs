//! What a changed path must leave alone, told without asking `pe-patch`.

use std::ops::Range;

use crate::reader::{CODEVIEW, Reader, u32_at};

/// Panics if a byte differs that need not: outside of the CodeView records, the fields that lead to
/// them, the headers' counts and sizes, and bytes that nothing uses.
pub fn assert_rest_is_untouched(name: &str, before: &[u8], after: &[u8]) {
    let (old, new) = (Reader::new(before), Reader::new(after));
    let allowed = allowed(&old, &new);
    let (taken, used, gaps) = (taken(&old), used(&old), gaps(&old));
    let records: Vec<Range<usize>> = records(&new).collect();
    // A stripped signature cuts the file, or zeroes what was in the middle of it.
    let certificates = old.certificates().unwrap_or(0..0);
    let end = match certificates.end == before.len() {
        true => certificates.start,
        false => before.len(),
    };
    assert!(after.len() >= end, "{name}: the file ends at {:#x}, not {end:#x}", after.len());
    for at in (0..end).filter(|&at| before[at] != after[at]) {
        if allowed.iter().any(|range| range.contains(&at)) {
            continue;
        }
        if certificates.contains(&at) {
            assert_eq!(after[at], 0, "{name}: {at:#x} in the certificates");
            continue;
        }
        assert!(
            records.iter().any(|range| range.contains(&at)),
            "{name}: {at:#x} was {:#x} and is {:#x}, in no record",
            before[at],
            after[at]
        );
        assert!(
            matches!(before[at], 0 | 0x90 | 0xcc),
            "{name}: {at:#x} was {:#x}, no padding",
            before[at]
        );
        assert!(
            !used.iter().any(|range| range.contains(&at))
                || gaps.iter().any(|range| range.contains(&at)),
            "{name}: {at:#x} is a byte that its section uses"
        );
        let owner = taken.iter().find(|range| range.contains(&at));
        assert_eq!(owner, None, "{name}: {at:#x} belongs to something");
    }
    for (at, byte) in after.iter().enumerate().skip(end) {
        assert!(
            *byte == 0 || records.iter().any(|range| range.contains(&at)),
            "{name}: {at:#x}, behind the old end, is {byte:#x}"
        );
    }
    assert_headers_agree(name, &old, &new);
}

/// The old records, the fields that lead to them, and the headers' fields that may change.
fn allowed(old: &Reader<'_>, new: &Reader<'_>) -> Vec<Range<usize>> {
    let mut allowed: Vec<Range<usize>> = records(old).collect();
    let entries = old.entries();
    let leading = entries.iter().filter(|entry| entry.kind == CODEVIEW);
    allowed.extend(leading.map(|entry| entry.at + 16..entry.at + 28));
    // NumberOfSections, SizeOfInitializedData, SizeOfImage, CheckSum, the certificates' directory.
    allowed.push(old.nt + 6..old.nt + 8);
    allowed.push(old.optional + 8..old.optional + 12);
    allowed.push(old.optional + 56..old.optional + 60);
    allowed.push(old.checksum_at()..old.checksum_at() + 4);
    allowed.push(old.directories + 32..old.directories + 40);
    // VirtualSize and SizeOfRawData of each section; a new section's header, over zeros.
    for index in 0..old.sections.len() {
        let header = old.section_table + 40 * index;
        allowed.push(header + 8..header + 12);
        allowed.push(header + 16..header + 20);
    }
    if new.sections.len() > old.sections.len() {
        let header = old.section_table + 40 * old.sections.len();
        assert!(old.bytes[header..header + 40].iter().all(|&byte| byte == 0));
        allowed.push(header..header + 40);
    }
    allowed
}

/// What the headers say that something uses, sections up to their virtual sizes among it.
fn taken(image: &Reader<'_>) -> Vec<Range<usize>> {
    let directories = (0..16).filter(|&index| index != 4).map(|index| image.directory(index));
    let mut taken: Vec<Range<usize>> = directories
        .filter(|(_, size)| *size > 0)
        .map(|(address, size)| (image.offset(address), size as usize))
        .map(|(start, size)| start..start + size)
        .collect();
    taken.push(0..image.section_table + 40 * image.sections.len());
    let entries = image.entries();
    taken.extend(entries.iter().map(|it| it.offset as usize..it.offset as usize + it.data.len()));
    let symbols = u32_at(image.bytes, image.nt + 12) as usize;
    if symbols > 0 {
        taken.push(symbols..image.bytes.len());
    }
    taken
}

/// The bytes of sections up to their virtual sizes: a zero among them may be a constant.
fn used(image: &Reader<'_>) -> Vec<Range<usize>> {
    let sections = image.sections.iter();
    sections.map(|it| it.raw..it.raw + it.raw_size.min(it.virtual_size)).map(usize_range).collect()
}

/// What alignment leaves behind the records: up to the next record, or to the next word.
fn gaps(image: &Reader<'_>) -> Vec<Range<usize>> {
    let entries = image.entries();
    records(image)
        .map(|record| {
            let starts = entries.iter().filter(|it| it.size > 0).map(|it| it.offset as usize);
            let next = starts.filter(|&it| it >= record.end && it - record.end < 16).min();
            record.end..next.unwrap_or(record.end.next_multiple_of(4))
        })
        .collect()
}

fn usize_range(range: Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn records(image: &Reader<'_>) -> impl Iterator<Item = Range<usize>> {
    let entries = image.entries().into_iter().filter(|entry| entry.kind == CODEVIEW);
    entries.map(|entry| entry.offset as usize..(entry.offset + entry.size) as usize)
}

/// Sections only grow, and at most one of them; directories and other debug entries stay.
fn assert_headers_agree(name: &str, old: &Reader<'_>, new: &Reader<'_>) {
    let mut grown = 0;
    for (before, after) in old.sections.iter().zip(&new.sections) {
        let growth = (before.virtual_size != after.virtual_size) as usize;
        assert!(after.virtual_size >= before.virtual_size, "{name}: {after:?}");
        assert!(after.raw_size >= before.raw_size, "{name}: {after:?}");
        let expected = crate::reader::Section {
            virtual_size: after.virtual_size,
            raw_size: after.raw_size,
            ..*before
        };
        assert_eq!(*after, expected, "{name}");
        grown += growth;
    }
    grown += new.sections.len() - old.sections.len();
    assert!(grown <= 1, "{name}: {grown} sections changed");
    for index in (0..16).filter(|&index| index != 4) {
        assert_eq!(old.directory(index), new.directory(index), "{name}: directory {index}");
    }
    let others = |image: &Reader<'_>| -> Vec<_> {
        image.entries().into_iter().filter(|entry| entry.kind != CODEVIEW).collect()
    };
    assert_eq!(others(old), others(new), "{name}");
    if old.is_sound().is_ok() {
        assert_eq!(new.is_sound(), Ok(()), "{name}");
    }
}
