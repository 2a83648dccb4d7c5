//! Where the program's variables are.

use std::ops::Range;

use super::Image;
use crate::dynamic::Tag;
use crate::header::Header;
use crate::relocation::{copy_kind, kinds, width};
use crate::section::{Section, SectionKind};
use crate::segment::{Segment, SegmentKind};
use crate::symbol::{Binding, SymbolKind};
use crate::writable::{Claims, Reason, ThreadLocal, Writable};
use crate::{Error, Structure};

impl Image<'_> {
    /// The ranges that hold the program's variables, and what else is writable, with the reason
    /// why it holds none. For pages of 4 KiB.
    ///
    /// ```
    /// use elf_sections::Image;
    ///
    /// # let Ok(bytes) = std::fs::read("/proc/self/exe") else { return Ok(()) };
    /// let image = Image::parse(&bytes)?;
    /// for excluded in image.writable().excluded {
    ///     println!("{:#x?}: {}", excluded.range, excluded.reason);
    /// }
    /// # Ok::<(), elf_sections::Error>(())
    /// ```
    ///
    /// Without section headers the program headers and the dynamic table still tell most: what is
    /// missing then is `.tm_clone_table`, `.got` entries that no relocation fills, and padding.
    /// An object file has no addresses yet, hence no ranges, see
    /// [`exclusion_of`](Image::exclusion_of). In a core file every writable segment counts: what
    /// is in it, the images tell that were loaded there.
    ///
    /// Reads the relocations, and the symbols if there are any.
    pub fn writable(&self) -> Writable {
        self.writable_with_page(4096)
    }

    /// The same where pages have `page` bytes. The size matters only for what the loader makes
    /// read-only; one that is no power of two counts as 1.
    pub fn writable_with_page(&self, page: u64) -> Writable {
        let loads = self.loads().filter(|segment| segment.permissions.is_writable());
        let mut claims = Claims::new(loads.map(Segment::range).collect());
        claims.take(Reason::Headers, self.header_ranges());
        let thread_local = self.thread_local();
        claims.take(
            Reason::ThreadLocal,
            thread_local.iter().map(|thread_local| thread_local.template.clone()).collect(),
        );
        for reason in BY_SECTION {
            claims.take(reason, self.ranges_of(reason));
        }
        claims.take(Reason::CopyRelocated, self.copied());
        let rounded = self.relro_with_page(page);
        claims.take(
            Reason::ReadOnlyAfterRelocation,
            self.relro_segment()
                .into_iter()
                .chain(rounded)
                .chain(self.sections_excluded_as(Reason::ReadOnlyAfterRelocation))
                .collect(),
        );
        claims.take(Reason::LoaderData, self.start_files_data());
        let (words, unread) = self.relocated_words();
        claims.take(Reason::RelocatedWord, words);
        let covered: Vec<Range<u64>> =
            self.sections.iter().filter(|it| it.is_addressable()).map(Section::range).collect();
        if !covered.is_empty() {
            claims.take_all_but(Reason::Padding, covered);
        }
        let writable = claims.finish(thread_local);
        Writable { unread: self.unknown_relocations().or(unread), ..writable }
    }

    /// Why a section as a whole holds no variables; `None` if it does, or some of it may.
    pub fn exclusion_of(&self, section: &Section<'_>) -> Option<Reason> {
        exclusion(section, &self.relro_segment().unwrap_or(0..0))
    }

    /// The thread-local variables' template, and the size of a thread's own.
    pub fn thread_local(&self) -> Option<ThreadLocal> {
        let tls = self.tls()?;
        let end = tls.address.checked_add(tls.file_size)?;
        Some(ThreadLocal { template: tls.address..end, size: tls.memory_size, align: tls.align })
    }

    /// The addresses of the file header and the program headers, where they are mapped.
    fn header_ranges(&self) -> Vec<Range<u64>> {
        let header = &self.header;
        let table = u64::from(header.program_header_count)
            .saturating_mul(self.layout.segment_size() as u64);
        let parts = [(0, self.layout.header_size() as u64), (header.program_headers, table)];
        let mapped = |(offset, size): (u64, u64)| {
            self.loads().find_map(|load| {
                let skipped = offset.checked_sub(load.offset)?;
                let start = load.address.checked_add(skipped)?;
                (skipped < load.file_size).then(|| start..start.saturating_add(size))
            })
        };
        parts.into_iter().filter_map(mapped).collect()
    }

    /// What is excluded for what it is, by the section headers and by the dynamic table.
    fn ranges_of(&self, reason: Reason) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = self.sections_excluded_as(reason).collect();
        let word = self.header.class.word_size();
        match reason {
            Reason::DynamicTable => {
                ranges.extend(self.segment(SegmentKind::DYNAMIC).map(Segment::range));
            }
            Reason::Initializers => {
                ranges.extend(self.initializers().array);
                ranges.extend(self.finalizers().array);
            }
            Reason::ReadOnly => ranges.extend(self.writable_tables()),
            Reason::Got => {
                // Its first words belong to the loader, and no relocation tells of them.
                let reserved = word.saturating_mul(RESERVED_GOT_WORDS);
                ranges.extend(
                    self.dynamic_value(Tag::PLTGOT)
                        .map(|start| start..start.saturating_add(reserved)),
                );
                let slot = kinds(self.header.machine, self.header.class).jump_slot;
                ranges.extend(
                    self.relocations()
                        .filter(|it| it.kind == slot && slot != 0)
                        .map(|it| it.address..it.address.saturating_add(word)),
                );
            }
            _ => {}
        }
        ranges
    }

    fn sections_excluded_as(&self, reason: Reason) -> impl Iterator<Item = Range<u64>> {
        let protected = self.relro_segment().unwrap_or(0..0);
        self.sections
            .iter()
            .filter(move |it| it.is_addressable() && exclusion(it, &protected) == Some(reason))
            .map(Section::range)
    }

    /// The variables of libraries for which this program has the storage.
    fn copied(&self) -> Vec<Range<u64>> {
        let Some(copy) = self.copy_kind() else { return Vec::new() };
        let table = self.whole_dynamic_symbol_table();
        self.relocations()
            .filter(|relocation| relocation.kind == copy)
            .filter_map(|relocation| {
                let size = table.raw(relocation.symbol)?.size;
                Some(relocation.address..relocation.address.checked_add(size)?)
            })
            .collect()
    }

    fn copy_kind(&self) -> Option<u32> {
        copy_kind(self.header.machine, self.header.class)
    }

    fn unknown_relocations(&self) -> Option<Error> {
        let is_known = self.copy_kind().is_some() || self.relocations().next().is_none();
        (!is_known).then_some(Error::UnknownRelocations { machine: self.header.machine })
    }

    /// The words that the loader computes, and why they are not all.
    ///
    /// A bit of packed relocations stands for a word, so that a small table may name more words
    /// than the file could have: there are at most as many ranges as that.
    fn relocated_words(&self) -> (Vec<Range<u64>>, Option<Error>) {
        let Header { machine, class, .. } = self.header;
        let (kinds, copy) = (kinds(machine, class), self.copy_kind());
        let word = self.header.class.word_size();
        let most = self.data.len().checked_div(word).unwrap_or(0);
        let words = self
            .relocations()
            // 0 is on every processor the number of the relocation that does nothing.
            .filter(|it| (!kinds.known || it.kind != 0) && Some(it.kind) != copy)
            .map(|it| {
                let is_descriptor = kinds.known && it.kind == kinds.tls_descriptor;
                let size = match is_descriptor {
                    true => kinds.tls_descriptor_size,
                    false => width(machine, it.kind, word),
                };
                it.address..it.address.saturating_add(size)
            });
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in words {
            if let Some(last) = ranges.last_mut().filter(|last| last.end == range.start) {
                last.end = range.end;
                continue;
            }
            if ranges.len() as u64 >= most {
                let at = self.dynamic_value(Tag::RELR).unwrap_or(0);
                let what = "more relocated words than the file has";
                let structure = Structure::Relr;
                return (ranges, Some(Error::Malformed { structure, at, what, found: most }));
            }
            ranges.push(range);
        }
        (ranges, None)
    }

    /// What the compiler's start files define, found by its symbols.
    fn start_files_data(&self) -> Vec<Range<u64>> {
        let word = self.header.class.word_size();
        self.symbols()
            .filter(|symbol| {
                let is_data = matches!(symbol.kind, SymbolKind::Object | SymbolKind::NoType);
                // Objects without a file symbol seem to belong to the file before them.
                let is_of_start_files = symbol.binding == Binding::Local
                    && is_kept(symbol.name)
                    && symbol.file.is_some_and(|file| START_FILES.contains(&file));
                // Local only where the linker makes hidden symbols so.
                let is_handle = symbol.name == b"__dso_handle" && symbol.is_defined();
                is_data && (is_handle || is_of_start_files)
            })
            .map(|symbol| {
                let size = if symbol.size == 0 { word } else { symbol.size };
                symbol.address..symbol.address.saturating_add(size)
            })
            .collect()
    }
}

/// Whether it is a name of [`KEPT`], as it is or with the number that compilers put behind it.
fn is_kept(name: &[u8]) -> bool {
    KEPT.iter().filter_map(|kept| name.strip_prefix(*kept)).any(|rest| match rest {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    })
}

/// Why a section holds no variables, `protected` being what the loader makes read-only.
fn exclusion(section: &Section<'_>, protected: &Range<u64>) -> Option<Reason> {
    if !section.flags.is_allocated() {
        return Some(Reason::NotMapped);
    }
    if section.flags.is_tls() {
        return Some(Reason::ThreadLocal);
    }
    if !section.flags.is_writable() {
        return Some(Reason::ReadOnly);
    }
    let range = section.range();
    let is_protected =
        !range.is_empty() && protected.start <= range.start && range.end <= protected.end;
    reason_of(section).or(is_protected.then_some(Reason::ReadOnlyAfterRelocation))
}

/// What a section is for, where its kind or name tells.
fn reason_of(section: &Section<'_>) -> Option<Reason> {
    match section.kind {
        SectionKind::DYNAMIC => return Some(Reason::DynamicTable),
        SectionKind::INIT_ARRAY | SectionKind::FINI_ARRAY | SectionKind::PREINIT_ARRAY => {
            return Some(Reason::Initializers);
        }
        _ => {}
    }
    let is_of = |start: &[u8]| {
        section
            .name
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    };
    match section.name {
        b".dynamic" => Some(Reason::DynamicTable),
        b".got" | b".got.plt" | b".igot" | b".igot.plt" => Some(Reason::Got),
        // Where procedure linkage tables are data: 64-bit PowerPC, SPARC.
        b".plt" | b".iplt" | b".toc" | b".branch_lt" => Some(Reason::Got),
        b".tm_clone_table" => Some(Reason::TransactionalMemoryTable),
        b".jcr" => Some(Reason::Initializers),
        b".eh_frame" | b".eh_frame_hdr" => Some(Reason::UnwindTable),
        _ if is_of(b".init_array") || is_of(b".fini_array") || is_of(b".preinit_array") => {
            Some(Reason::Initializers)
        }
        _ if is_of(b".ctors") || is_of(b".dtors") => Some(Reason::Initializers),
        _ if is_of(b".gcc_except_table") => Some(Reason::UnwindTable),
        _ if is_of(b".data.rel.ro") || is_of(b".bss.rel.ro") => {
            Some(Reason::ReadOnlyAfterRelocation)
        }
        _ => section.flags.is_executable().then_some(Reason::Code),
    }
}

/// The reasons that a section has as a whole, the more telling ones first.
const BY_SECTION: [Reason; 7] = [
    Reason::DynamicTable,
    Reason::Got,
    Reason::Initializers,
    Reason::TransactionalMemoryTable,
    Reason::UnwindTable,
    Reason::Code,
    Reason::ReadOnly,
];

/// `_DYNAMIC`, and two words for the loader's own.
const RESERVED_GOT_WORDS: u64 = 3;

/// Whether destructors have run, and what the unwinder was given.
const KEPT: [&[u8]; 4] = [b"completed", b"object", b"dtor_idx", b"__initialized"];

/// gcc's and LLVM's.
const START_FILES: [&[u8]; 2] = [b"crtstuff.c", b"crtbegin.c"];
