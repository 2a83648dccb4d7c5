//! Reading the header and the load commands.

use std::sync::OnceLock;

use object::{BigEndian, Endian, Endianness, LittleEndian, macho};

use super::{Image, file_range};
use crate::command::CommandKind;
use crate::container::{is_fat_magic, java_class};
use crate::header::Header;
use crate::layout::{Headers, Layout};
use crate::section::Section;
use crate::segment::Segment;
use crate::{Error, Structure};

pub(super) fn image(data: &[u8], base: u64) -> Result<Image<'_>, Error> {
    let layout = layout(data)?;
    let size = layout.header_size() as u64;
    let header = layout.header(data).ok_or(Error::Short {
        structure: Structure::FileHeader,
        wanted: size,
        offset: 0,
        end: data.len() as u64,
    })?;
    let rest = data.get(4..layout.header_size()).unwrap_or_default();
    if rest.iter().all(|&byte| byte == 0) {
        return Err(Error::ZeroFilled { structure: Structure::FileHeader, offset: 4 });
    }
    let bytes = file_range(Structure::LoadCommand, data, size, u64::from(header.commands_size))?;
    let class = layout.class;
    let Found { segments, sections } = match layout.endian {
        Endianness::Little => {
            found(layout, Headers { class, endian: LittleEndian }, &header, bytes)
        }
        Endianness::Big => found(layout, Headers { class, endian: BigEndian }, &header, bytes),
    }?;
    Ok(Image { data, base, layout, header, segments, sections, covers: OnceLock::new() })
}

fn found<'data, E: Endian>(
    layout: Layout,
    headers: Headers<E>,
    header: &Header,
    bytes: &'data [u8],
) -> Result<Found<'data>, Error> {
    let mut found = Found::with_room_for(layout, headers, header, bytes)?;
    let mut offset = layout.header_size() as u64;
    let mut rest = bytes;
    for _ in 0..header.command_count {
        let (kind, bytes) = command(headers, offset, &mut rest)?;
        if kind == layout.segment_kind() {
            found.segment(layout, headers, offset, bytes)?;
        }
        offset = offset.saturating_add(bytes.len() as u64);
    }
    Ok(found)
}

fn layout(data: &[u8]) -> Result<Layout, Error> {
    let Some(&magic) = data.first_chunk::<4>() else {
        let starts = [macho::MH_MAGIC, macho::MH_CIGAM, macho::MH_MAGIC_64, macho::MH_CIGAM_64];
        if starts.iter().any(|magic| magic.to_be_bytes().starts_with(data)) {
            let (structure, end) = (Structure::FileHeader, data.len() as u64);
            return Err(Error::Short { structure, wanted: 4, offset: 0, end });
        }
        return Err(Error::NotMachO { found: data.to_vec() });
    };
    if let Some(layout) = Layout::of(magic) {
        return Ok(layout);
    }
    if magic == [0; 4] {
        // Linkers size the file first; the header may be what they write last.
        return Err(Error::ZeroFilled { structure: Structure::FileHeader, offset: 0 });
    }
    if is_fat_magic(magic) {
        return Err(match java_class(data) {
            Some(major) => Error::JavaClass { major },
            None => Error::Fat,
        });
    }
    Err(Error::NotMachO { found: magic.to_vec() })
}

/// Takes the next command off the front of `rest`.
///
/// A size of less than a command's own header would let a walk stand still.
#[inline]
fn command<'data, E: Endian>(
    headers: Headers<E>,
    offset: u64,
    rest: &mut &'data [u8],
) -> Result<(CommandKind, &'data [u8]), Error> {
    let structure = Structure::LoadCommand;
    let Some((kind, size)) = headers.command(rest) else {
        let what = "no room for it among the load commands";
        return Err(Error::malformed(structure, offset, what, rest.len() as u64));
    };
    if size == 0 && rest.iter().all(|&byte| byte == 0) {
        return Err(Error::ZeroFilled { structure, offset });
    }
    if size < SMALLEST {
        return Err(Error::malformed(structure, offset, "smaller than its own header", size));
    }
    let split = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
    let Some((bytes, behind)) = split else {
        let what = "reaches beyond the load commands";
        return Err(Error::malformed(structure, offset, what, size));
    };
    *rest = behind;
    Ok((kind, bytes))
}

/// What the commands have brought so far.
struct Found<'data> {
    segments: Vec<Segment<'data>>,
    sections: Vec<Section<'data>>,
}

impl<'data> Found<'data> {
    /// Counts segments and sections, so that each list is allocated once. The counts are bounded
    /// by the bytes that are there.
    fn with_room_for<E: Endian>(
        layout: Layout,
        headers: Headers<E>,
        header: &Header,
        bytes: &[u8],
    ) -> Result<Self, Error> {
        let (mut segments, mut room) = (0_usize, 0_usize);
        let mut offset = layout.header_size() as u64;
        let mut rest = bytes;
        for _ in 0..header.command_count {
            let (kind, bytes) = command(headers, offset, &mut rest)?;
            if kind == layout.segment_kind() {
                segments = segments.saturating_add(1);
                let sections = bytes.len().saturating_sub(layout.segment_size());
                room = room.saturating_add(sections);
            }
            offset = offset.saturating_add(bytes.len() as u64);
        }
        let sections = room.checked_div(layout.section_size()).unwrap_or(0);
        Ok(Found { segments: Vec::with_capacity(segments), sections: Vec::with_capacity(sections) })
    }

    fn segment<E: Endian>(
        &mut self,
        layout: Layout,
        headers: Headers<E>,
        offset: u64,
        bytes: &'data [u8],
    ) -> Result<(), Error> {
        let structure = Structure::LoadCommand;
        let Some((mut segment, rest)) = headers.segment(bytes) else {
            let what = "too small for a segment";
            return Err(Error::malformed(structure, offset, what, bytes.len() as u64));
        };
        let size = layout.section_size();
        let sections = usize::try_from(segment.section_count)
            .ok()
            .and_then(|count| rest.get(..count.checked_mul(size)?));
        let Some(sections) = sections else {
            let what = "more sections than its command has room for";
            return Err(Error::malformed(structure, offset, what, segment.section_count));
        };
        segment.index = index(&self.segments);
        segment.first_section = index(&self.sections);
        for header in sections.chunks_exact(size) {
            let Some(mut section) = headers.section(header) else { break };
            section.index = index(&self.sections);
            section.segment = segment.index;
            self.sections.push(section);
        }
        self.segments.push(segment);
        Ok(())
    }
}

/// The place that the next element gets. There are fewer than 2³² of anything in 4 GiB of commands.
fn index<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// `cmd` and `cmdsize`.
const SMALLEST: u32 = 8;
