//! PE.

use pe_patch::{Format, Image, Reason, Section};

use super::listing::{self, ThreadLocal, Wanted, Writable};

/// What is listed of an image. Its addresses are counted from the base.
pub fn list<'a>(image: &Image<'a>, wanted: &Wanted) -> listing::Image<'a> {
    let header = image.header();
    let listed = listing::Image {
        format: "pe",
        class: match header.format {
            Format::Pe32 => 32,
            Format::Pe32Plus => 64,
        },
        endian: "little",
        machine: image.machine().to_string(),
        purpose: match header.characteristics & IS_LIBRARY {
            0 => "executable".to_owned(),
            _ => "library".to_owned(),
        },
        segments: image.sections().map(|it| segment(&it)).collect(),
        sections: image.sections().map(|it| section(image, &it)).collect(),
        writable: wanted.needs_ranges().then(|| writable(image)),
        symbols: wanted.symbols.then(Vec::new),
        is_only_writable: wanted.only_writable,
        protected: 0..0,
        remarks: if wanted.symbols { vec![NO_SYMBOLS.to_owned()] } else { Vec::new() },
    };
    listed.finished(wanted)
}

fn writable(image: &Image<'_>) -> Writable {
    let writable = image.writable();
    let excluded = writable.excluded.iter().map(|it| (&it.range, it.reason.as_str()));
    let thread_local = writable.thread_local.as_ref();
    let thread_local = thread_local.map(|it| ThreadLocal::of(&it.template, it.size, it.align, 0));
    Writable::of(&writable.variables, excluded, thread_local, 0)
}

/// A section as what the loader maps.
fn segment<'a>(section: &Section<'a>) -> listing::Segment<'a> {
    listing::Segment {
        name: section.name.into(),
        address: section.address,
        memory_size: section.size,
        file_offset: section.offset,
        file_size: section.file_size,
        read: section.flags.is_readable(),
        write: section.flags.is_writable(),
        execute: section.flags.is_executable(),
        is_mapped: true,
    }
}

fn section<'a>(image: &Image<'a>, section: &Section<'a>) -> listing::Section<'a> {
    listing::Section {
        name: section.name.into(),
        segment: Some(section.name.into()),
        address: section.address,
        size: section.size,
        file_offset: section.offset,
        file_size: section.file_size,
        writable: section.flags.is_writable(),
        excluded: image.exclusion_of(section).map(Reason::as_str),
        is_mapped: true,
        is_code: section.flags.is_executable(),
    }
}

/// `IMAGE_FILE_DLL`.
const IS_LIBRARY: u16 = 0x2000;

const NO_SYMBOLS: &str = "a PE image's symbols are in its PDB, not in the image";
