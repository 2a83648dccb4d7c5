//! Reading the debug directory, as far as the file holds it.

use std::ops::Range;

use object::LittleEndian as LE;
use object::{U32, pe};

use crate::bytes;
use crate::codeview::CodeView;
use crate::debug::{DebugDirectory, DebugEntry, DebugKind, ENTRY_SIZE, Problem};
use crate::header::DirectoryKind;
use crate::image::Image;

pub(super) fn directory<'data>(image: &Image<'data>) -> DebugDirectory<'data> {
    let mut found = DebugDirectory { range: 0..0, entries: Vec::new(), problems: Vec::new() };
    let Some(directory) = image.directory(DirectoryKind::Debug) else { return found };
    let (address, size) = (directory.address, directory.size);
    if u64::from(size) % ENTRY_SIZE != 0 {
        found.problems.push(Problem::SizeNotMultiple { size });
    }
    let Some((start, left)) = image.held_at(address.into()) else {
        found.problems.push(Problem::DirectoryNotInFile { address, size });
        return found;
    };
    let held = left.min(size.into());
    if held < u64::from(size) {
        found.problems.push(Problem::DirectoryCutShort { size, held });
    }
    let claimed = u64::from(size).checked_div(ENTRY_SIZE).unwrap_or_default();
    if claimed > u64::from(MOST_ENTRIES) {
        found.problems.push(Problem::TooManyEntries { claimed });
    }
    let mut offset = start;
    for index in (0..MOST_ENTRIES).take_while(|&index| u64::from(index) < claimed) {
        let end = offset.saturating_add(ENTRY_SIZE);
        if end > start.saturating_add(held) {
            break;
        }
        let Some(raw) = bytes::at(image.data(), offset) else { break };
        found.entries.push(entry(image, index, offset, raw));
        offset = end;
    }
    found.range = start..offset;
    name_shared_records(&mut found.entries);
    found
}

fn entry<'data>(
    image: &Image<'data>,
    index: u32,
    offset: u64,
    raw: &pe::ImageDebugDirectory,
) -> DebugEntry<'data> {
    let mut problems = Vec::new();
    let size = raw.size_of_data.get(LE);
    let typ = raw.typ.get(LE).0;
    let record = record(image, raw, &mut problems);
    let data = record
        .end
        .checked_sub(record.start)
        .and_then(|length| bytes::range(image.data(), record.start, length))
        .unwrap_or_default();
    let mut entry = DebugEntry {
        index,
        offset,
        kind: kind(typ, data),
        time_date_stamp: raw.time_date_stamp.get(LE),
        major_version: raw.major_version.get(LE),
        minor_version: raw.minor_version.get(LE),
        address: raw.address_of_raw_data.get(LE),
        pointer: raw.pointer_to_raw_data.get(LE),
        size,
        record,
        data,
        path: None,
        guid: None,
        age: None,
        stamp: None,
        capacity: None,
        problems,
    };
    if let Some(form) = entry.codeview() {
        codeview(&mut entry, form);
    }
    entry
}

/// Where the file holds a record: by its address and by its offset, which should agree.
fn record(
    image: &Image<'_>,
    raw: &pe::ImageDebugDirectory,
    problems: &mut Vec<Problem>,
) -> Range<u64> {
    let address = raw.address_of_raw_data.get(LE);
    let pointer = u64::from(raw.pointer_to_raw_data.get(LE));
    let size = raw.size_of_data.get(LE);
    if size == 0 {
        return 0..0;
    }
    let mapped = if address == 0 { None } else { image.held_at(address.into()) };
    let listed = image.end().checked_sub(pointer).filter(|&left| pointer != 0 && left > 0);
    let listed = listed.map(|left| (pointer, left));
    match (address, mapped) {
        (0, _) => problems.push(Problem::NoAddress),
        (_, None) => problems.push(Problem::NotMapped { address }),
        _ => {}
    }
    if pointer == 0 {
        problems.push(Problem::NoPointer);
    }
    let place = match (mapped, listed) {
        (Some(mapped), Some(listed)) if mapped.0 != listed.0 => {
            // Of a CodeView record, the place that holds one is the right one.
            let is_codeview = raw.typ.get(LE) == pe::IMAGE_DEBUG_TYPE_CODEVIEW;
            let has_path = |offset| {
                let form = CodeView::of(bytes::range(image.data(), offset, 4).unwrap_or_default());
                form.is_some_and(|form| form.path_offset().is_some())
            };
            let by_pointer = is_codeview && !has_path(mapped.0) && has_path(listed.0);
            let used = if by_pointer { listed } else { mapped };
            problems.push(Problem::Disagree {
                by_address: mapped.0,
                by_pointer: listed.0,
                used: used.0,
            });
            Some(used)
        }
        (mapped, listed) => mapped.or(listed),
    };
    let Some((start, left)) = place else {
        problems.push(Problem::NotInFile);
        return 0..0;
    };
    let held = left.min(size.into());
    if held < u64::from(size) {
        problems.push(Problem::CutShort { size, held });
    }
    start..start.saturating_add(held)
}

fn kind(typ: u32, data: &[u8]) -> DebugKind {
    let word = |offset| bytes::at::<U32<LE>>(data, offset).map(|it| it.get(LE));
    match pe::DebugType(typ) {
        pe::IMAGE_DEBUG_TYPE_COFF => DebugKind::Coff,
        pe::IMAGE_DEBUG_TYPE_CODEVIEW => codeview_kind(data),
        pe::IMAGE_DEBUG_TYPE_FPO => DebugKind::Fpo,
        pe::IMAGE_DEBUG_TYPE_MISC => DebugKind::Misc,
        pe::IMAGE_DEBUG_TYPE_VC_FEATURE => DebugKind::VcFeature {
            before_vc11: word(0).unwrap_or_default(),
            c_and_cpp: word(4).unwrap_or_default(),
            gs: word(8).unwrap_or_default(),
            sdl: word(12).unwrap_or_default(),
            guard: word(16).unwrap_or_default(),
        },
        pe::IMAGE_DEBUG_TYPE_POGO => DebugKind::Pogo,
        pe::IMAGE_DEBUG_TYPE_ILTCG => DebugKind::Iltcg,
        pe::IMAGE_DEBUG_TYPE_REPRO => DebugKind::Repro { has_hash: repro_hash(data).is_some() },
        pe::IMAGE_DEBUG_TYPE_EX_DLLCHARACTERISTICS => {
            DebugKind::ExDllCharacteristics(word(0).unwrap_or_default())
        }
        EMBEDDED_PDB if data.starts_with(b"MPDB") => {
            DebugKind::EmbeddedPdb { unpacked: word(4).unwrap_or_default() }
        }
        PDB_CHECKSUM => DebugKind::PdbChecksum,
        PERF_MAP => DebugKind::PerfMap,
        pe::DebugType(other) => DebugKind::Unknown(other),
    }
}

fn codeview_kind(data: &[u8]) -> DebugKind {
    match CodeView::of(data) {
        None => DebugKind::NoCodeView,
        Some(CodeView::Rsds) => DebugKind::Rsds,
        Some(CodeView::Nb10) => DebugKind::Nb10,
        Some(CodeView::Other([b'N', b'B', b'0', b'9'])) => DebugKind::Nb09,
        Some(CodeView::Other([b'N', b'B', b'1', b'1'])) => DebugKind::Nb11,
        Some(CodeView::Other(other)) => DebugKind::CodeView(other),
    }
}

/// The range within a REPRO record that its hash takes up: the record starts with its length.
pub(crate) fn repro_hash(data: &[u8]) -> Option<Range<usize>> {
    let length = usize::try_from(bytes::at::<U32<LE>>(data, 0)?.get(LE)).ok()?;
    let end = length.checked_add(4)?;
    (length > 0 && end <= data.len()).then_some(4..end)
}

fn codeview(entry: &mut DebugEntry<'_>, form: CodeView) {
    let data = entry.data;
    let wanted = form.path_offset().unwrap_or_default();
    let Some(path) = usize::try_from(wanted).ok().and_then(|start| data.get(start..)) else {
        entry.problems.push(Problem::TooSmall { size: data.len() as u64, wanted });
        return;
    };
    entry.guid = form.guid(data);
    entry.age = form.age(data);
    entry.stamp = form.stamp(data);
    entry.capacity = Some((path.len() as u64).saturating_sub(1));
    match path.iter().position(|&byte| byte == 0) {
        Some(end) => {
            let (name, rest) = path.split_at_checked(end).unwrap_or((path, &[]));
            entry.path = Some(name);
            if let Some(last) = rest.iter().rposition(|&byte| byte != 0) {
                entry.problems.push(Problem::AfterTerminator { bytes: last as u64 });
            }
        }
        None => {
            entry.path = Some(path);
            entry.problems.push(Problem::NoTerminator);
        }
    }
}

/// Says of each record that starts before another one ends that they share bytes.
fn name_shared_records(entries: &mut [DebugEntry<'_>]) {
    let mut order: Vec<(Range<u64>, usize)> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| !entry.record.is_empty())
        .map(|(place, entry)| (entry.record.clone(), place))
        .collect();
    order.sort_unstable_by_key(|(record, place)| (record.start, record.end, *place));
    let mut farthest: Option<(u64, usize)> = None;
    for (record, place) in order {
        if let Some((end, other)) = farthest
            && record.start < end
        {
            for (this, that) in [(place, other), (other, place)] {
                let other = entries.get(that).map_or(0, |entry| entry.index);
                let Some(entry) = entries.get_mut(this) else { continue };
                let problem = Problem::SharesRecord { other };
                if !entry.problems.contains(&problem) {
                    entry.problems.push(problem);
                }
            }
        }
        if farthest.is_none_or(|(end, _)| record.end > end) {
            farthest = Some((record.end, place));
        }
    }
}

/// A linker writes fewer than ten.
pub(crate) const MOST_ENTRIES: u32 = 128;

const EMBEDDED_PDB: pe::DebugType = pe::DebugType(17);
const PDB_CHECKSUM: pe::DebugType = pe::DebugType(19);
const PERF_MAP: pe::DebugType = pe::DebugType(21);
