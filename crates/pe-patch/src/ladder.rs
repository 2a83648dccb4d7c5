//! Where a record goes that no longer fits where it is: the rungs that find it a new place.

use std::ops::Range;

use object::pe;

use crate::Error;
use crate::bytes::{self, align_up};
use crate::draft::Draft;
use crate::header::{DirectoryKind, Header};
use crate::image::SECTION_HEADER_SIZE;
use crate::occupancy::Tenant;
use crate::report::{Obstacle, Rung, Warning};
use crate::section::{SECTOR, Section};
use crate::written::{SectionHeader, bytes_of};

/// A place for new bytes, and what must change in the headers to have it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) rung: Rung,
    /// Where the first byte goes in the file.
    pub(crate) offset: u64,
    /// Its address.
    pub(crate) address: u64,
    /// Fields of the headers, with their new bytes.
    fields: Vec<Field>,
    /// Where the file ends afterwards, if bytes are appended.
    new_end: Option<u64>,
    /// The section that holds the bytes, if there was one before.
    section: Option<Section<'static>>,
}

/// New bytes for a field of the headers.
#[derive(Debug, Clone)]
struct Field {
    /// Whose field it is; `None` for bytes that nobody has yet.
    owner: Option<Tenant>,
    offset: u64,
    new: Vec<u8>,
}

impl Field {
    /// A 32-bit field of the NT headers.
    fn header(offset: u64, value: u64) -> Option<Field> {
        Some(Field { owner: Some(Tenant::Headers), offset, new: u32_bytes(value)? })
    }

    /// A 32-bit field of a section's header.
    fn section(header: &Header, index: u16, inside: u64, value: u64) -> Option<Field> {
        let offset = section_field(header, index, inside);
        Some(Field { owner: Some(Tenant::SectionTable), offset, new: u32_bytes(value)? })
    }
}

/// Finds the lowest rung with room for `wanted` bytes. `home` is where the old record is.
///
/// # Errors
///
/// What is in the way, rung by rung.
pub(crate) fn find(
    draft: &Draft<'_, '_>,
    wanted: u64,
    home: Option<u64>,
) -> Result<Place, Vec<Obstacle>> {
    tail(draft, wanted, home).or_else(|no_tail| {
        new_section(draft, wanted).or_else(|no_new_section| {
            last_section(draft, wanted).map_err(|no_last_section| {
                vec![
                    Obstacle { rung: Rung::Tail, reason: no_tail },
                    Obstacle { rung: Rung::NewSection, reason: no_new_section },
                    Obstacle { rung: Rung::LastSection, reason: no_last_section },
                ]
            })
        })
    })
}

impl Place {
    /// Puts the bytes there.
    pub(crate) fn settle(&self, draft: &mut Draft<'_, '_>, contents: &[u8]) -> Result<(), Error> {
        for field in &self.fields {
            draft.write(field.owner, field.offset, &field.new)?;
        }
        let size = contents.len() as u64;
        match self.new_end {
            None => draft.write(None, self.offset, contents)?,
            Some(new_end) => {
                let zeros = |from: u64, to: u64| {
                    // At most an alignment's worth, and alignments are checked to be small.
                    vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or_default()]
                };
                let end = self.offset.saturating_add(size);
                let mut appended = zeros(draft.end(), self.offset);
                appended.extend_from_slice(contents);
                appended.extend(zeros(end, new_end));
                let overlay = draft.image.mapped_end();
                if overlay < draft.end() {
                    draft.warn(Warning::BehindOverlay { overlay, offset: self.offset });
                }
                let addresses = self.address..self.address.saturating_add(size);
                draft.append(&appended, addresses, self.offset);
            }
        }
        if let Some(section) = self.section.filter(|section| section.flags.is_discardable()) {
            draft.warn(Warning::Discardable { section: section.index });
        }
        Ok(())
    }
}

/// (c) Bytes of a section that the file holds behind its virtual size.
fn tail(draft: &Draft<'_, '_>, wanted: u64, home: Option<u64>) -> Result<Place, &'static str> {
    let image = draft.image;
    let lives_in =
        |section: &Section<'_>| home.is_some_and(|home| section.file_range().contains(&home));
    let candidates = || image.nameless().filter(|section| section.flags.is_readable());
    // At home first; a section that holds variables keeps its size.
    let at_home = candidates().filter(|section| lives_in(section));
    let elsewhere = candidates().filter(|section| {
        !lives_in(section) && !section.flags.is_writable() && !section.flags.is_discardable()
    });
    at_home
        .chain(elsewhere)
        .take(MOST_TAILS)
        .find_map(|section| tail_of(draft, wanted, &section))
        .ok_or("no section has that many unused bytes in the file")
}

fn tail_of(draft: &Draft<'_, '_>, wanted: u64, section: &Section<'_>) -> Option<Place> {
    let image = draft.image;
    let header = image.header();
    // A section without an offset has no bytes in the file, whatever its size of raw data.
    if section.offset == 0 || section.virtual_size == 0 || !is_mapped_in_place(header, section) {
        return None;
    }
    let inside = align_up(section.size, RECORD_ALIGNMENT)?;
    let address = section.address.checked_add(inside)?;
    let new_size = inside.checked_add(wanted)?;
    let start = section.file_range().start.checked_add(inside)?;
    let range = start..start.checked_add(wanted)?;
    let raw_end = section.offset.checked_add(section.file_size)?.min(draft.end());
    if range.end > raw_end {
        return None;
    }
    // Growing into memory that the next section has would make the image one that never loads.
    let new_end = section.address.checked_add(new_size)?;
    let shares_file =
        |other: &Section<'_>| other.index != section.index && overlaps(&raw_range(other), &range);
    if image.nameless().any(|other| shares_file(&other))
        || !is_free_memory(draft, section, address..new_end)
        || range.start < header.size_of_headers.into()
        || draft.occupancy().tenant_in(&range, None).is_some()
    {
        return None;
    }
    let unused = bytes::range(image.data(), range.start, wanted)?;
    let filler = *unused.first()?;
    if !FILLERS.contains(&filler) || unused.iter().any(|&byte| byte != filler) {
        return None;
    }
    let mut fields = vec![Field::section(header, section.index, VIRTUAL_SIZE, new_size)?];
    fields.extend(grown_image(header, new_end)?);
    Some(Place {
        rung: Rung::Tail,
        offset: range.start,
        address,
        fields,
        new_end: None,
        section: Some(section.unnamed()),
    })
}

/// (d) A section of its own, appended to the file.
fn new_section(draft: &Draft<'_, '_>, wanted: u64) -> Result<Place, &'static str> {
    check_end(draft)?;
    let image = draft.image;
    let header = image.header();
    let alignment = Alignment::of(header).ok_or("the image's alignments make no sense")?;
    let count =
        header.number_of_sections.checked_add(1).ok_or("the section table cannot count more")?;
    let slot = section_field(header, header.number_of_sections, 0);
    let slot = slot..slot.saturating_add(SECTION_HEADER_SIZE);
    if slot.end > header.size_of_headers.into() {
        return Err("the headers have no room for another section's");
    }
    let first_raw = image
        .nameless()
        .filter(|section| section.offset != 0 && section.file_size != 0)
        .map(|section| section.offset)
        .min();
    if first_raw.is_some_and(|first| slot.end > first) {
        return Err("the first section starts where another header would be");
    }
    if draft.occupancy().tenant_in(&slot, None).is_some() {
        return Err("something lies where another section's header would be");
    }
    let unused = bytes::range(image.data(), slot.start, SECTION_HEADER_SIZE)
        .ok_or("the file ends where another section's header would be")?;
    if unused.iter().any(|&byte| byte != 0) {
        return Err("the bytes where another section's header would be are not zero");
    }

    let too_large = "the image would grow beyond 4 GB";
    let memory_end = memory_end(draft, &alignment).ok_or(too_large)?;
    let (address, offset) = if header.is_low_alignment() {
        // Mapped as a whole: the offset is the address.
        let file = align_up(draft.end(), alignment.memory).ok_or(too_large)?;
        (memory_end.max(file), memory_end.max(file))
    } else {
        (memory_end, align_up(draft.end(), alignment.file).ok_or(too_large)?)
    };
    if offset.saturating_sub(draft.end()) > MOST_PADDING {
        return Err("the file would grow by too much padding");
    }
    let raw_size = align_up(wanted, alignment.file).ok_or(too_large)?;
    let new_end = offset.checked_add(raw_size).ok_or(too_large)?;
    let number = |value: u64| u32::try_from(value).map_err(|_| too_large);
    let new = SectionHeader {
        name: NEW_SECTION_NAME,
        virtual_size: number(wanted)?,
        virtual_address: number(address)?,
        size_of_raw_data: number(raw_size)?,
        pointer_to_raw_data: number(offset)?,
        pointer_to_relocations: 0,
        pointer_to_linenumbers: 0,
        number_of_relocations: 0,
        number_of_linenumbers: 0,
        characteristics: (pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ).0,
    };
    if is_claimed(draft, &(address..address.saturating_add(raw_size))) {
        return Err("a data directory claims the addresses behind the image");
    }
    let image_end = address
        .checked_add(wanted)
        .and_then(|end| align_up(end, alignment.memory))
        .ok_or(too_large)?
        .max(header.size_of_image.into());
    number(new_end)?;
    let initialized = u64::from(header.size_of_initialized_data).saturating_add(raw_size);
    let initialized = initialized.min(u32::MAX.into());
    let fields = vec![
        Field { owner: None, offset: slot.start, new: bytes_of(new) },
        Field {
            owner: Some(Tenant::Headers),
            offset: header.number_of_sections_offset(),
            new: bytes_of(count),
        },
        Field::header(header.size_of_image_offset(), image_end).ok_or(too_large)?,
        Field::header(header.size_of_initialized_data_offset(), initialized).ok_or(too_large)?,
    ];
    Ok(Place {
        rung: Rung::NewSection,
        offset,
        address,
        fields,
        new_end: Some(new_end),
        section: None,
    })
}

/// (e) The end of the last section, if that is the end of the file too.
fn last_section(draft: &Draft<'_, '_>, wanted: u64) -> Result<Place, &'static str> {
    let image = draft.image;
    let header = image.header();
    let alignment = Alignment::of(header).ok_or("the image's alignments make no sense")?;
    let section = image
        .nameless()
        .max_by_key(|section| (section.address, section.index))
        .ok_or("there is no section")?;
    if !section.flags.is_readable() {
        return Err("the last section cannot be read");
    }
    check_end(draft)?;
    let raw_end = section.offset.saturating_add(section.file_size);
    if section.offset == 0 || raw_end != draft.end() {
        return Err("the last section does not end where the file does");
    }
    if !is_mapped_in_place(header, &section) {
        return Err("the last section is not where its header says");
    }
    let too_large = "the image would grow beyond 4 GB";
    let inside =
        align_up(section.size.max(section.file_size), RECORD_ALIGNMENT).ok_or(too_large)?;
    let address = section.address.checked_add(inside).ok_or(too_large)?;
    let offset = section.offset.checked_add(inside).ok_or(too_large)?;
    if offset.saturating_sub(draft.end()) > MOST_PADDING {
        return Err("the last section has too many zeros that only memory has");
    }
    let new_size = inside.checked_add(wanted).ok_or(too_large)?;
    let memory = address..address.saturating_add(wanted);
    if is_claimed(draft, &memory) {
        return Err("a data directory claims the addresses behind the last section");
    }
    if !is_free_memory(draft, &section, memory) {
        return Err("another section has the memory behind the last one");
    }
    let raw_size = align_up(new_size, alignment.file).ok_or(too_large)?;
    let new_end = section.offset.checked_add(raw_size).ok_or(too_large)?;
    let image_end = section.address.checked_add(new_size).ok_or(too_large)?;
    u32_bytes(new_end).ok_or(too_large)?;
    let mut fields = vec![
        Field::section(header, section.index, VIRTUAL_SIZE, new_size).ok_or(too_large)?,
        Field::section(header, section.index, RAW_SIZE, raw_size).ok_or(too_large)?,
    ];
    fields.extend(grown_image(header, image_end).ok_or(too_large)?);
    Ok(Place {
        rung: Rung::LastSection,
        offset,
        address,
        fields,
        new_end: Some(new_end),
        section: Some(section.unnamed()),
    })
}

/// Bytes may be appended unless they would become part of a section that is cut short, or of the
/// headers.
fn check_end(draft: &Draft<'_, '_>) -> Result<(), &'static str> {
    if draft.image.cut_short().is_some() {
        return Err("a section's bytes reach beyond the end of the file");
    }
    if u64::from(draft.image.header().size_of_headers) > draft.end() {
        return Err("the headers reach beyond the end of the file");
    }
    Ok(())
}

/// The alignments of an image that can be built on.
struct Alignment {
    memory: u64,
    file: u64,
}

impl Alignment {
    fn of(header: &Header) -> Option<Alignment> {
        let (memory, file) = (header.section_alignment, header.file_alignment);
        if !memory.is_power_of_two() || !file.is_power_of_two() || file > 1 << 16 {
            return None;
        }
        let file = u64::from(file);
        let file = if header.is_low_alignment() { file } else { file.max(SECTOR) };
        Some(Alignment { memory: memory.into(), file })
    }
}

/// Where the memory ends that sections take up: the loader wants each to start where the one
/// before it ends.
fn memory_end(draft: &Draft<'_, '_>, alignment: &Alignment) -> Option<u64> {
    let header = draft.image.header();
    let mut sections =
        draft.image.nameless().map(|section| section.address.checked_add(section.size));
    let last = sections
        .try_fold(u64::from(header.size_of_headers), |end, section| Some(end.max(section?)))?;
    align_up(last, alignment.memory)
}

/// Whether no section but the one that grows has any of these addresses, up to the end of the last
/// page of each.
fn is_free_memory(draft: &Draft<'_, '_>, grown: &Section<'_>, addresses: Range<u64>) -> bool {
    let alignment = u64::from(draft.image.header().section_alignment.max(1));
    let page = addresses.start..align_up(addresses.end, alignment).unwrap_or(u64::MAX);
    !draft.image.nameless().filter(|other| other.index != grown.index).any(|other| {
        let end = align_up(other.range().end, alignment).unwrap_or(u64::MAX);
        overlaps(&(other.address..end), &page)
    })
}

/// Whether a data directory speaks of one of these addresses, which the file does not hold yet.
fn is_claimed(draft: &Draft<'_, '_>, addresses: &Range<u64>) -> bool {
    let kinds = DirectoryKind::ALL.into_iter().filter(|kind| *kind != DirectoryKind::Security);
    kinds.filter_map(|kind| draft.image.directory(kind)).any(|directory| {
        let start = u64::from(directory.address);
        overlaps(&(start..start.saturating_add(directory.size.into())), addresses)
    })
}

/// `SizeOfImage`, if it no longer covers the image.
fn grown_image(header: &Header, end: u64) -> Option<Option<Field>> {
    if end <= header.size_of_image.into() {
        return Some(None);
    }
    let size = align_up(end, header.section_alignment.into())?;
    Some(Some(Field::header(header.size_of_image_offset(), size)?))
}

/// Whether the file's bytes are where the header says: the loader rounds offsets down, and maps
/// an image of low alignment as a whole.
fn is_mapped_in_place(header: &Header, section: &Section<'_>) -> bool {
    section.file_range().start == section.offset
        && (!header.is_low_alignment() || section.offset == section.address)
}

fn raw_range(section: &Section<'_>) -> Range<u64> {
    if section.offset == 0 {
        return 0..0;
    }
    section.offset..section.offset.saturating_add(section.file_size)
}

fn overlaps(one: &Range<u64>, two: &Range<u64>) -> bool {
    one.start < two.end && two.start < one.end
}

/// Where a field of a section's header is.
fn section_field(header: &Header, index: u16, inside: u64) -> u64 {
    u64::from(index)
        .saturating_mul(SECTION_HEADER_SIZE)
        .saturating_add(header.section_table_offset())
        .saturating_add(inside)
}

fn u32_bytes(value: u64) -> Option<Vec<u8>> {
    u32::try_from(value).ok().map(bytes_of)
}

/// Where `VirtualSize` and `SizeOfRawData` are in a section's header.
const VIRTUAL_SIZE: u64 = 8;
const RAW_SIZE: u64 = 16;

/// Linkers align debug records to this.
pub(crate) const RECORD_ALIGNMENT: u64 = 4;

/// What linkers fill up sections with: zeros, and in code breakpoints or instructions that do
/// nothing.
const FILLERS: [u8; 3] = [0, 0xcc, 0x90];

/// Each candidate is compared with every other section.
const MOST_TAILS: usize = 64;

/// No image needs more zeros in front of its new bytes.
const MOST_PADDING: u64 = 1 << 24;

const NEW_SECTION_NAME: [u8; 8] = *b".pdbpath";
