//! ELF.

use elf_sections::{
    Binding, Class, Endian, Image, Kind, Reason, Section, Segment, SegmentKind, SymbolKind,
    SymbolSection,
};

use super::listing::{self, Name, ThreadLocal, Wanted, Writable};

/// What is listed of an image whose addresses are `bias` higher in memory; 0 for a file.
pub fn list<'a>(image: &Image<'a>, bias: u64, wanted: &Wanted) -> listing::Image<'a> {
    let header = image.header();
    let mut remarks = Vec::new();
    let mut ranges = None;
    if wanted.needs_ranges() {
        let found = image.writable();
        if let Some(error) = &found.unread {
            remarks
                .push(format!("storage of libraries' variables may count as variables: {error}"));
        }
        ranges = Some(writable(found, bias));
    }
    let listed = listing::Image {
        format: "elf",
        class: match header.class {
            Class::Elf32 => 32,
            Class::Elf64 => 64,
        },
        endian: match header.endian {
            Endian::Little => "little",
            Endian::Big => "big",
        },
        machine: header.machine.to_string(),
        purpose: match header.kind {
            Kind::SharedObject if image.is_pie() => "position-independent executable".to_owned(),
            kind => kind.to_string(),
        },
        segments: image.segments().iter().map(|it| segment(it, bias)).collect(),
        sections: image
            .sections()
            .iter()
            .filter(|it| it.kind != elf_sections::SectionKind::NULL)
            .map(|it| section(image, it, bias))
            .collect(),
        writable: ranges,
        symbols: wanted.symbols.then(|| symbols(image, bias)),
        is_only_writable: wanted.only_writable,
        protected: image
            .relro()
            .map_or(0..0, |it| it.start.wrapping_add(bias)..it.end.wrapping_add(bias)),
        remarks,
    };
    listed.finished(wanted)
}

/// The name of a segment's kind, as `readelf` has it.
pub fn kind_name(kind: SegmentKind) -> String {
    let name = match kind {
        SegmentKind::NULL => "NULL",
        SegmentKind::LOAD => "LOAD",
        SegmentKind::DYNAMIC => "DYNAMIC",
        SegmentKind::INTERP => "INTERP",
        SegmentKind::NOTE => "NOTE",
        SegmentKind::PHDR => "PHDR",
        SegmentKind::TLS => "TLS",
        SegmentKind::GNU_EH_FRAME => "GNU_EH_FRAME",
        SegmentKind::GNU_STACK => "GNU_STACK",
        SegmentKind::GNU_RELRO => "GNU_RELRO",
        SegmentKind::GNU_PROPERTY => "GNU_PROPERTY",
        SegmentKind(other) => return format!("{other:#x}"),
    };
    name.to_owned()
}

fn segment(segment: &Segment, bias: u64) -> listing::Segment<'static> {
    // One without memory, as for the stack's permissions, has no address either.
    let bias = if segment.memory_size == 0 { 0 } else { bias };
    listing::Segment {
        name: kind_name(segment.kind).into(),
        address: segment.address.wrapping_add(bias),
        memory_size: segment.memory_size,
        file_offset: segment.offset,
        file_size: segment.file_size,
        read: segment.permissions.is_readable(),
        write: segment.permissions.is_writable(),
        execute: segment.permissions.is_executable(),
        is_mapped: segment.is_load(),
    }
}

fn section<'a>(image: &Image<'a>, section: &Section<'a>, bias: u64) -> listing::Section<'a> {
    let is_zeros = section.kind == elf_sections::SectionKind::NOBITS;
    let within = if section.flags.is_tls() {
        image.tls()
    } else {
        image.segment_at(section.address).filter(|_| section.flags.is_allocated())
    };
    listing::Section {
        name: section.name.into(),
        segment: within.map(|it| kind_name(it.kind).into()),
        address: placed(section.address, section.flags.is_allocated(), bias),
        size: section.size,
        file_offset: section.offset,
        file_size: if is_zeros { 0 } else { section.size },
        writable: section.flags.is_writable(),
        excluded: image.exclusion_of(section).map(Reason::as_str),
        is_mapped: section.is_addressable() && within.is_some(),
        is_code: section.flags.is_executable(),
    }
}

fn writable(found: elf_sections::Writable, bias: u64) -> Writable {
    let elf_sections::Writable { variables, excluded, thread_local, .. } = found;
    let excluded = excluded.iter().map(|it| (&it.range, it.reason.as_str()));
    let thread_local =
        thread_local.map(|it| ThreadLocal::of(&it.template, it.size, it.align, bias));
    Writable::of(&variables, excluded, thread_local, bias)
}

/// The symbols of the image's own table or, if it has been stripped, those that the loader uses.
fn symbols<'a>(image: &Image<'a>, bias: u64) -> Vec<listing::Symbol<'a>> {
    let own: Vec<_> = image.symbols().filter(is_listed).collect();
    let is_stripped = own.is_empty();
    let symbols =
        if is_stripped { image.dynamic_symbols().filter(is_listed).collect() } else { own };
    let versions = image.symbol_versions();
    let sections = image.sections();
    let listed = symbols.into_iter().map(|symbol| {
        let section = match symbol.section {
            SymbolSection::Index(index) => sections.get(index as usize),
            _ => None,
        };
        let excluded = match symbol.kind {
            SymbolKind::Tls => Some("thread-local"),
            _ => section.and_then(|it| image.exclusion_of(it)).map(Reason::as_str),
        };
        let has_address = section.is_some() && symbol.kind != SymbolKind::Tls;
        listing::Symbol {
            name: symbol.name.into(),
            address: placed(symbol.address, has_address, bias),
            size: Some(symbol.size),
            kind: kind(symbol.kind),
            binding: binding(symbol.binding),
            section: section.map(|it| it.name.into()),
            file: symbol.file.map(Name::from),
            version: versions
                .of(symbol.index)
                .filter(|_| is_stripped)
                .map(|version| version.name.into()),
            excluded,
        }
    });
    listed.collect()
}

fn is_listed(symbol: &elf_sections::Symbol<'_>) -> bool {
    let is_thing = !matches!(symbol.kind, SymbolKind::File | SymbolKind::Section);
    symbol.is_defined() && is_thing && !symbol.name.is_empty()
}

fn placed(address: u64, is_in_memory: bool, bias: u64) -> u64 {
    if is_in_memory { address.wrapping_add(bias) } else { address }
}

fn kind(kind: SymbolKind) -> &'static str {
    match kind {
        SymbolKind::Object => "object",
        SymbolKind::Function => "function",
        SymbolKind::Common => "common",
        SymbolKind::Tls => "thread-local",
        SymbolKind::IndirectFunction => "indirect-function",
        SymbolKind::NoType => "none",
        _ => "other",
    }
}

fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Local => "local",
        Binding::Global => "global",
        Binding::Weak => "weak",
        Binding::Unique => "unique",
        Binding::Other(_) => "other",
    }
}
