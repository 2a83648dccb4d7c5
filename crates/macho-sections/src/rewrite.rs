//! Load commands rewritten in place, into the padding that linkers leave before the contents.

use patch_plan::Plan;

use crate::command::CommandKind;
use crate::{Error, Image, Section, Segment, Structure};

/// Plans other load commands: those of `commands`, in order, each a multiple of the alignment.
///
/// Offsets of the plan are counted from the start of the image.
pub(crate) fn plan_commands(image: &Image<'_>, commands: &[Vec<u8>]) -> Result<Plan, Error> {
    let layout = image.layout;
    let start = layout.header_size();
    let old_size = image.header().commands_size as usize;
    let mut new: Vec<u8> = commands.iter().flatten().copied().collect();
    let new_size = new.len();
    let wanted = new_size.saturating_sub(old_size) as u64;
    let free = free_space(image);
    if wanted > free {
        return Err(Error::NoRoom { wanted, free });
    }
    let size = old_size.max(new_size);
    let old = start.checked_add(size).and_then(|end| image.data().get(start..end));
    let Some(old) = old else {
        return Err(Error::NoRoom { wanted, free });
    };
    if old.get(old_size..).unwrap_or_default().iter().any(|&byte| byte != 0) {
        let (structure, at) = (Structure::LoadCommand, (start.saturating_add(old_size)) as u64);
        return Err(Error::malformed(structure, at, "bytes in the padding behind it", wanted));
    }
    new.resize(size, 0);

    let mut plan = Plan::new();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let old_counts = (image.header().command_count, image.header().commands_size);
    let new_counts = (count(commands.len()), count(new_size));
    if old_counts != new_counts {
        let words = |(count, size)| [layout.u32_bytes(count), layout.u32_bytes(size)].concat();
        plan.edit(COUNTS, words(old_counts), words(new_counts))?;
    }
    // Only what differs: one edit from the first to the last such byte.
    let differs = |(old, new): (&u8, &u8)| old != new;
    let first = old.iter().zip(&new).position(differs);
    let last = old.iter().zip(&new).rposition(differs);
    if let Some((first, last)) = first.zip(last) {
        let (old, new) = (old.get(first..=last), new.get(first..=last));
        let offset = start.saturating_add(first) as u64;
        plan.edit(offset, old.unwrap_or_default(), new.unwrap_or_default())?;
    }
    Ok(plan)
}

/// The commands of an image, for [`plan_commands`].
pub(crate) fn commands(image: &Image<'_>) -> Vec<Vec<u8>> {
    image.commands().map(|command| command.bytes.to_vec()).collect()
}

/// A command with a string behind its fixed fields, the offset of which is at eight.
///
/// `size` is the least it shall have: one that shrinks keeps its size, and nothing moves.
pub(crate) fn with_string(image: &Image<'_>, fixed: &[u8], text: &[u8], size: usize) -> Vec<u8> {
    let align = image.layout.command_align();
    let mut command = fixed.to_vec();
    command.extend_from_slice(text);
    command.push(0);
    let wanted = command.len().checked_next_multiple_of(align).unwrap_or(command.len());
    command.resize(wanted.max(size), 0);
    set_word(image, &mut command, 4, command_size(wanted.max(size)));
    command
}

/// A command from its words.
pub(crate) fn from_words(image: &Image<'_>, words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|&word| image.layout.u32_bytes(word)).collect()
}

pub(crate) fn command_size(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn set_word(image: &Image<'_>, command: &mut [u8], at: usize, value: u32) {
    if let Some(place) = command.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = image.layout.u32_bytes(value);
    }
}

/// How many bytes there are between the load commands and the first thing that they speak of.
fn free_space(image: &Image<'_>) -> u64 {
    let header = image.header();
    let end = (image.layout.header_size() as u64).saturating_add(u64::from(header.commands_size));
    let sections = image.sections().iter().filter(|section| has_bytes(section));
    let sections = sections.map(|section| section.offset);
    // A segment that starts the file has the header in it; its contents start with its sections.
    let segments = image.segments().iter().filter(|segment| segment.file_size != 0);
    let segments = segments.filter_map(|segment| contents_of(segment, end));
    let tables = image.commands().filter_map(|command| {
        let pairs: &[usize] = match command.kind {
            CommandKind::SYMTAB => &[8, 16],
            CommandKind::CODE_SIGNATURE
            | CommandKind::DYLD_CHAINED_FIXUPS
            | CommandKind::DYLD_EXPORTS_TRIE => &[8],
            CommandKind::DYLD_INFO | CommandKind::DYLD_INFO_ONLY => &[8, 16, 24, 32, 40],
            _ => return None,
        };
        let pairs = pairs.iter().filter_map(|&at| image.pair(&command, at));
        pairs.filter(|&(_, size)| size != 0).map(|(offset, _)| offset).min()
    });
    let first = sections.chain(segments).chain(tables).min().unwrap_or(end);
    first.saturating_sub(end)
}

fn has_bytes(section: &Section<'_>) -> bool {
    !section.is_zero_fill() && section.size != 0
}

fn contents_of(segment: &Segment<'_>, end: u64) -> Option<u64> {
    match segment.offset {
        0 if segment.section_count != 0 => None,
        0 => Some(end),
        offset => Some(offset),
    }
}

/// Where `ncmds` and `sizeofcmds` are in the header.
const COUNTS: u64 = 16;
