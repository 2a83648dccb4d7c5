//! Which of an image's bytes are the program's variables, and why the others are not.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use object::LittleEndian as LE;
use object::{U16, U32, U64, pe, pod};

use crate::bytes;
use crate::header::{DirectoryKind, Format};
use crate::image::Image;
use crate::load_config::LoadConfig;
use crate::relocation::{base_width, blocks};
use crate::section::Section;

/// The writable memory of an image, taken apart.
///
/// Addresses are counted from the image's base. Every byte of a writable section is in one of the
/// ranges of `variables`, or in one of `excluded`, and in no two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writable {
    /// The ranges that hold the program's variables, ascending, disjoint, none empty.
    pub variables: Vec<Range<u64>>,
    /// What is writable and holds none, each with its reason; ascending, disjoint.
    pub excluded: Vec<Excluded>,
    /// The variables that each thread has for itself, if there are any.
    pub thread_local: Option<ThreadLocal>,
}

/// A range of writable memory that holds no variables.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Excluded {
    /// Its addresses.
    pub range: Range<u64>,
    /// Why.
    pub reason: Reason,
}

/// Why memory holds none of the program's variables, or none that may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its section is not meant to be written to.
    ReadOnly,
    /// The import address tables: addresses that the loader computes, at once or when they are
    /// used.
    Got,
    /// The template of thread-local variables, from which each thread's own are copied.
    ThreadLocal,
    /// Addresses of functions that the start files call: `.CRT`, `.ctors`, `.dtors`.
    Initializers,
    /// What a data directory leads to: import descriptors, resources, relocations.
    LoaderTable,
    /// `.pdata`, `.xdata` and what the exception directory leads to; MinGW's `.eh_frame`.
    UnwindTable,
    /// Machine code in a section that may be written to, as packers and `-Wl,-N` make of `.text`.
    Code,
    /// What the loader or the start files keep for themselves: the security cookie, the index of
    /// the thread-local storage, handles of libraries whose loading is delayed.
    LoaderData,
    /// A word that the loader relocates. It may be a variable; what it holds is of one load of
    /// one image only.
    RelocatedWord,
}

impl Reason {
    /// The word for it in tables and JSON: `read-only`, `relocated-word`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ReadOnly => "read-only",
            Reason::Got => "got",
            Reason::ThreadLocal => "thread-local",
            Reason::Initializers => "initializers",
            Reason::LoaderTable => "loader-table",
            Reason::UnwindTable => "unwind-table",
            Reason::Code => "code",
            Reason::LoaderData => "loader-data",
            Reason::RelocatedWord => "relocated-word",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The variables that each thread has for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ThreadLocal {
    /// The addresses of the initial values in the image; the rest of each block is zero.
    pub template: Range<u64>,
    /// The size of each thread's block.
    pub size: u64,
    /// The alignment of each thread's block, as the directory says it; 1 if it says nothing.
    pub align: u64,
}

impl Image<'_> {
    /// Which bytes of the writable sections are the program's variables, and why others are not.
    pub fn writable(&self) -> Writable {
        let thread_local = thread_local(self);
        let mut claims: Vec<Excluded> = Vec::new();
        let mut claim = |range: Range<u64>, reason| claims.push(Excluded { range, reason });
        for section in self.sections() {
            match self.exclusion_of(&section) {
                Some(Reason::ReadOnly) | None => {}
                Some(reason) => claim(section.range(), reason),
            }
        }
        for (kind, reason) in LOADER_TABLES {
            if let Some(it) = self.directory(kind) {
                let start = u64::from(it.address);
                claim(start..start.saturating_add(it.size.into()), reason);
            }
        }
        if let Some((it, index)) = &thread_local {
            claim(it.template.clone(), Reason::ThreadLocal);
            claim(*index..index.saturating_add(4), Reason::LoaderData);
        }
        if let Some(cookie) = security_cookie(self) {
            claim(cookie, Reason::LoaderData);
        }
        delayed_imports(self, &mut claim);
        relocated_words(self, &mut claim);
        let sections: Vec<Range<u64>> = self
            .nameless()
            .filter(|section| section.flags.is_writable())
            .map(|section| section.range())
            .collect();
        divide(sections, claims, thread_local.map(|(it, _)| it))
    }

    /// Why a whole section holds none of the program's variables; `None` if it does, or in part.
    pub fn exclusion_of(&self, section: &Section<'_>) -> Option<Reason> {
        if !section.flags.is_writable() {
            return Some(Reason::ReadOnly);
        }
        let name = section.name.split(|&byte| byte == b'$').next().unwrap_or_default();
        match name {
            b".idata" | b".didat" => Some(Reason::Got),
            b".tls" => Some(Reason::ThreadLocal),
            b".CRT" | b".ctors" | b".dtors" => Some(Reason::Initializers),
            b".rsrc" | b".reloc" | b".edata" => Some(Reason::LoaderTable),
            b".pdata" | b".xdata" | b".eh_frame" => Some(Reason::UnwindTable),
            _ => section.flags.has_code().then_some(Reason::Code),
        }
    }
}

/// Divides sections into what is claimed and what is left. Of claims that overlap, the one that
/// starts first wins, and of those the longest.
fn divide(
    mut sections: Vec<Range<u64>>,
    mut claims: Vec<Excluded>,
    thread_local: Option<ThreadLocal>,
) -> Writable {
    sections.sort_unstable_by_key(|range| range.start);
    claims.sort_by_key(|claim| (claim.range.start, Reverse(claim.range.end)));
    let mut divided = Writable { thread_local, ..Writable::default() };
    let mut claims = claims.into_iter().peekable();
    let mut cursor = 0_u64;
    for section in sections {
        cursor = cursor.max(section.start);
        while let Some(claim) = claims.next_if(|claim| claim.range.start < section.end) {
            let (start, end) = (claim.range.start.max(cursor), claim.range.end.min(section.end));
            if start < end {
                push(&mut divided.variables, cursor..start);
                exclude(&mut divided.excluded, start..end, claim.reason);
                cursor = end;
            }
            if claim.range.end > section.end {
                // The rest may be in the next section.
                break;
            }
        }
        push(&mut divided.variables, cursor..section.end);
        cursor = cursor.max(section.end);
    }
    divided
}

fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    if !range.is_empty() {
        ranges.push(range);
    }
}

fn exclude(excluded: &mut Vec<Excluded>, range: Range<u64>, reason: Reason) {
    match excluded.last_mut() {
        Some(last) if last.reason == reason && last.range.end == range.start => {
            last.range.end = range.end;
        }
        _ => excluded.push(Excluded { range, reason }),
    }
}

/// The thread-local storage, and the address of the word that gets its index.
fn thread_local(image: &Image<'_>) -> Option<(ThreadLocal, u64)> {
    let base = image.header().image_base;
    let address = u64::from(image.directory(DirectoryKind::ThreadLocal)?.address);
    let relative = |address: u64| address.checked_sub(base);
    let ((start, end, index), zeros, flags) = match image.header().format {
        Format::Pe32 => {
            let size = size_of::<pe::ImageTlsDirectory32>() as u64;
            let raw: &pe::ImageTlsDirectory32 = bytes::at(image.bytes_at(address, size)?, 0)?;
            let addresses =
                [raw.start_address_of_raw_data, raw.end_address_of_raw_data, raw.address_of_index];
            let [start, end, index] = addresses.map(|it| u64::from(it.get(LE)));
            ((start, end, index), raw.size_of_zero_fill.get(LE), raw.characteristics.get(LE))
        }
        Format::Pe32Plus => {
            let size = size_of::<pe::ImageTlsDirectory64>() as u64;
            let raw: &pe::ImageTlsDirectory64 = bytes::at(image.bytes_at(address, size)?, 0)?;
            let addresses =
                [raw.start_address_of_raw_data, raw.end_address_of_raw_data, raw.address_of_index];
            let [start, end, index] = addresses.map(|it| it.get(LE));
            ((start, end, index), raw.size_of_zero_fill.get(LE), raw.characteristics.get(LE))
        }
    };
    let (start, end) = (relative(start)?, relative(end)?);
    let template = start..end.max(start);
    let size = template.end.saturating_sub(start).saturating_add(zeros.into());
    // The same four bits that say the alignment of an object file's section.
    let align = match (flags >> 20) & 0xf {
        0 => 1,
        bits => 1_u64.checked_shl(bits.saturating_sub(1)).unwrap_or(1),
    };
    Some((ThreadLocal { template, size, align }, relative(index)?))
}

fn security_cookie(image: &Image<'_>) -> Option<Range<u64>> {
    let cookie = LoadConfig::of(image)?.security_cookie().checked_sub(image.header().image_base)?;
    Some(cookie..cookie.saturating_add(word_size(image)))
}

fn word_size(image: &Image<'_>) -> u64 {
    match image.header().format {
        Format::Pe32 => 4,
        Format::Pe32Plus => 8,
    }
}

/// Handles of libraries that are loaded when they are first used, and the addresses of their
/// functions.
fn delayed_imports(image: &Image<'_>, claim: &mut impl FnMut(Range<u64>, Reason)) {
    let Some(directory) = image.directory(DirectoryKind::DelayImport) else { return };
    let Some((offset, left)) = image.held_at(directory.address.into()) else { return };
    let Some(table) = bytes::range(image.data(), offset, left) else { return };
    let size = size_of::<pe::ImageDelayloadDescriptor>();
    let most = table.len().checked_div(size).unwrap_or_default();
    let Ok((descriptors, _)) =
        pod::slice_from_bytes::<pe::ImageDelayloadDescriptor>(table, most.min(MOST_LIBRARIES))
    else {
        return;
    };
    let word = word_size(image);
    for descriptor in descriptors.iter().take_while(|it| !it.is_null()) {
        let handle = u64::from(descriptor.module_handle_rva.get(LE));
        let addresses = u64::from(descriptor.import_address_table_rva.get(LE));
        let names = u64::from(descriptor.import_name_table_rva.get(LE));
        let count = import_count(image, names).saturating_add(1);
        claim(handle..handle.saturating_add(word), Reason::LoaderData);
        claim(addresses..addresses.saturating_add(count.saturating_mul(word)), Reason::Got);
    }
}

/// How many names there are in a table that a zero ends.
fn import_count(image: &Image<'_>, address: u64) -> u64 {
    let Some((offset, left)) = image.held_at(address) else { return 0 };
    let names = bytes::range(image.data(), offset, left.min(MOST_NAMES)).unwrap_or_default();
    let count = match image.header().format {
        Format::Pe32 => pod::slice_from_bytes::<U32<LE>>(names, names.len() / 4)
            .map(|(names, _)| names.iter().take_while(|it| it.get(LE) != 0).count()),
        Format::Pe32Plus => pod::slice_from_bytes::<U64<LE>>(names, names.len() / 8)
            .map(|(names, _)| names.iter().take_while(|it| it.get(LE) != 0).count()),
    };
    count.unwrap_or_default() as u64
}

fn relocated_words(image: &Image<'_>, claim: &mut impl FnMut(Range<u64>, Reason)) {
    let Some(directory) = image.directory(DirectoryKind::BaseRelocation) else { return };
    let Some((offset, left)) = image.held_at(directory.address.into()) else { return };
    let table = bytes::range(image.data(), offset, left.min(directory.size.into()));
    for (page, entries) in blocks(table.unwrap_or_default()) {
        let Ok((entries, _)) = pod::slice_from_bytes::<U16<LE>>(entries, entries.len() / 2) else {
            continue;
        };
        for entry in entries.iter().map(|entry| entry.get(LE)) {
            let Some(width) = base_width(entry >> 12) else { continue };
            let start = page.saturating_add(u64::from(entry & 0xfff));
            claim(start..start.saturating_add(width), Reason::RelocatedWord);
        }
    }
}

/// What the loader reads in an image, which MinGW puts into writable sections.
const LOADER_TABLES: [(DirectoryKind, Reason); 9] = [
    (DirectoryKind::Export, Reason::LoaderTable),
    (DirectoryKind::Import, Reason::LoaderTable),
    (DirectoryKind::Resource, Reason::LoaderTable),
    (DirectoryKind::Exception, Reason::UnwindTable),
    (DirectoryKind::BaseRelocation, Reason::LoaderTable),
    (DirectoryKind::Debug, Reason::LoaderTable),
    (DirectoryKind::LoadConfig, Reason::LoaderTable),
    (DirectoryKind::ImportAddressTable, Reason::Got),
    (DirectoryKind::Clr, Reason::LoaderTable),
];

/// More libraries than any program delays the loading of.
const MOST_LIBRARIES: usize = 4096;

/// The most bytes that are searched for the end of a table of names.
const MOST_NAMES: u64 = 1 << 20;
