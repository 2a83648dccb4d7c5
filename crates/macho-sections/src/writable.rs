//! Which writable bytes hold the program's variables, and which only look it.

use std::fmt;
use std::ops::Range;

use crate::{Error, FileKind, Image, Section, SectionKind, Segment};

/// What of an image a program writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writable {
    /// The ranges of addresses that hold the program's variables: ascending, disjoint, none empty.
    pub variables: Vec<Range<u64>>,
    /// What is writable, or looks it, and holds none, each with the reason; ascending by start.
    pub excluded: Vec<Excluded>,
    /// Thread-local storage, if there is any.
    pub thread_local: Option<ThreadLocal>,
    /// Why the fixups could not all be read. Words that the loader computes may then be among the
    /// variables.
    pub unread: Option<Error>,
}

/// A range that holds no variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// Its addresses, before the slide is added; not empty.
    pub range: Range<u64>,
    /// Why.
    pub reason: Reason,
}

/// The storage of which each thread has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadLocal {
    /// The addresses of the initial values; empty if all start as zero.
    pub template: Range<u64>,
    /// The size of each thread's block: the template, and zeros behind it.
    pub size: u64,
    /// What each block is aligned to, in bytes.
    pub align: u64,
}

/// Why bytes are not the program's variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its segment is not writable, or it consists of literals, which many places of the code may
    /// share.
    ReadOnly,
    /// It is writable only until the loader has made its fixups: `SG_READ_ONLY`, `__DATA_CONST`,
    /// `__AUTH` and `__AUTH_CONST`, and the constants that older linkers left in `__DATA,__const`.
    ReadOnlyAfterRelocation,
    /// Pointers to symbols, bound at load: `S_NON_LAZY_SYMBOL_POINTERS`.
    Got,
    /// Pointers to symbols, or code that holds them, bound at the first call.
    LazyBinding,
    /// Initialisers or finalisers.
    Initializers,
    /// A word that the loader computes: a pointer's initial value, a class's address. It may be a
    /// variable; what it holds is of one load of one image only.
    RelocatedWord,
    /// Initial values of thread-local variables, or what leads to them.
    ThreadLocal,
    /// Tables of the loader or of a language's runtime.
    LoaderData,
    /// `__eh_frame`, `__unwind_info` and what belongs to them, in a segment that is writable.
    UnwindTable,
    /// Machine code in a segment that is writable.
    Code,
    /// It is never in memory.
    NotMapped,
    /// No section covers it.
    Padding,
}

impl Reason {
    /// The reason in a word or two, joined by hyphens; the same as in the sister crates.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ReadOnly => "read-only",
            Reason::ReadOnlyAfterRelocation => "read-only-after-relocation",
            Reason::Got => "got",
            Reason::LazyBinding => "lazy-binding",
            Reason::Initializers => "initializers",
            Reason::RelocatedWord => "relocated-word",
            Reason::ThreadLocal => "thread-local",
            Reason::LoaderData => "loader-data",
            Reason::UnwindTable => "unwind-table",
            Reason::Code => "code",
            Reason::NotMapped => "not-mapped",
            Reason::Padding => "padding",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'data> Image<'data> {
    /// Sorts what is writable into the program's variables and everything else.
    ///
    /// The variables are in `__data`, `__bss`, `__common` and sections of the program's own naming.
    /// A writable segment without sections holds nothing but variables.
    pub fn writable(&self) -> Writable {
        let mut variables = Vec::new();
        let mut excluded = Vec::new();
        for segment in self.segments() {
            if self.header().kind != FileKind::OBJECT && segment.is_read_only_after_fixups() {
                let looks_writable =
                    segment.permissions.is_writable() || segment.maximum.is_writable();
                if looks_writable {
                    excluded.push(Excluded {
                        range: segment.range(),
                        reason: Reason::ReadOnlyAfterRelocation,
                    });
                }
                continue;
            }
            if !segment.permissions.is_writable() {
                continue;
            }
            let sections = self.sections_of(segment);
            if sections.is_empty() {
                variables.push(segment.range());
            }
            if self.header().kind != FileKind::OBJECT && !sections.is_empty() {
                let sections = sections.iter().map(Section::range);
                let gaps = subtract(united(vec![segment.range()]), sections);
                let reason = Reason::Padding;
                excluded.extend(gaps.into_iter().map(|range| Excluded { range, reason }));
            }
            for section in sections {
                match self.exclusion_of(section) {
                    None => variables.push(section.range()),
                    Some(Reason::NotMapped) => {}
                    // In an object file one segment has the sections of all.
                    Some(Reason::ReadOnly) if self.header().kind == FileKind::OBJECT => {}
                    Some(reason) => excluded.push(Excluded { range: section.range(), reason }),
                }
            }
        }
        excluded.retain(|excluded| !excluded.range.is_empty());
        let mut variables = subtract(united(variables), excluded.iter().map(|it| it.range.clone()));
        let (words, unread) = self.relocated_words(&variables);
        variables = subtract(variables, words.iter().cloned());
        let relocated = words.into_iter();
        excluded.extend(relocated.map(|range| Excluded { range, reason: Reason::RelocatedWord }));
        excluded.sort_by_key(|excluded| (excluded.range.start, excluded.range.end));
        Writable { variables, excluded, thread_local: self.thread_local(), unread }
    }

    /// Why a whole section is not the program's variables. `None` if it is, apart from single words
    /// that the loader computes.
    pub fn exclusion_of(&self, section: &Section<'_>) -> Option<Reason> {
        let kind = self.header().kind;
        if section.flags.is_debug()
            || (kind == FileKind::DSYM && section.segment_name == b"__DWARF")
        {
            return Some(Reason::NotMapped);
        }
        let segment = usize::try_from(section.segment).ok().and_then(|it| self.segments().get(it));
        let by_segment = segment.and_then(|segment| match kind {
            FileKind::OBJECT => Image::is_read_only_by_name(section).then_some(Reason::ReadOnly),
            _ => by_segment(segment),
        });
        by_segment.or_else(|| by_kind(section)).or_else(|| by_name(section))
    }

    /// Thread-local storage: what each thread's block starts as.
    ///
    /// The sections of initial values and of zeros lie one behind the other, and the loader copies
    /// them as one. In an object file they are still apart, and there is no block.
    pub fn thread_local(&self) -> Option<ThreadLocal> {
        if self.header().kind == FileKind::OBJECT {
            return None;
        }
        let block = self.sections().iter().filter(|section| {
            matches!(
                section.kind,
                SectionKind::THREAD_LOCAL_REGULAR | SectionKind::THREAD_LOCAL_ZEROFILL
            )
        });
        let start = block.clone().map(|section| section.address).min()?;
        let end = block.clone().map(|section| section.range().end).max()?;
        let values = block.clone().filter(|section| !section.is_zero_fill());
        let template_end = values.map(|section| section.range().end).max().unwrap_or(start);
        let align = block.map(|section| section.align).max().unwrap_or(0);
        Some(ThreadLocal {
            template: start..template_end,
            size: end.saturating_sub(start),
            align: 1_u64.checked_shl(align).unwrap_or(1),
        })
    }

    /// The words among `variables` that the loader computes, ascending and disjoint.
    fn relocated_words(&self, variables: &[Range<u64>]) -> (Vec<Range<u64>>, Option<Error>) {
        let mut words = Vec::new();
        let mut unread = None;
        for fixup in self.fixups() {
            match fixup {
                Ok(fixup) => {
                    let start = fixup.address;
                    let range = start..start.saturating_add(u64::from(fixup.size));
                    let position = variables.partition_point(|variable| variable.end <= start);
                    if variables.get(position).is_some_and(|it| it.start < range.end) {
                        words.push(range);
                    }
                }
                Err(error) => unread = Some(error),
            }
        }
        words.sort_by_key(|word| (word.start, word.end));
        words.dedup();
        (words, unread)
    }
}

fn by_segment(segment: &Segment<'_>) -> Option<Reason> {
    if segment.is_read_only_after_fixups() {
        Some(Reason::ReadOnlyAfterRelocation)
    } else if segment.permissions.0 == 0 && segment.maximum.0 == 0 {
        Some(Reason::NotMapped)
    } else if !segment.permissions.is_writable() {
        Some(Reason::ReadOnly)
    } else {
        None
    }
}

fn by_kind(section: &Section<'_>) -> Option<Reason> {
    match section.kind {
        _ if section.is_thread_local() => Some(Reason::ThreadLocal),
        SectionKind::NON_LAZY_SYMBOL_POINTERS => Some(Reason::Got),
        SectionKind::LAZY_SYMBOL_POINTERS
        | SectionKind::LAZY_DYLIB_SYMBOL_POINTERS
        | SectionKind::SYMBOL_STUBS => Some(Reason::LazyBinding),
        SectionKind::MOD_INIT_FUNC_POINTERS
        | SectionKind::MOD_TERM_FUNC_POINTERS
        | SectionKind::INIT_FUNC_OFFSETS => Some(Reason::Initializers),
        SectionKind::INTERPOSING | SectionKind::LITERAL_POINTERS => Some(Reason::LoaderData),
        SectionKind::CSTRING_LITERALS
        | SectionKind::FOUR_BYTE_LITERALS
        | SectionKind::EIGHT_BYTE_LITERALS
        | SectionKind::SIXTEEN_BYTE_LITERALS => Some(Reason::ReadOnly),
        _ => section.flags.has_instructions().then_some(Reason::Code),
    }
}

/// Sections of no type of their own, which their names tell.
fn by_name(section: &Section<'_>) -> Option<Reason> {
    match section.name {
        // What newer linkers put into __DATA_CONST.
        b"__const" => Some(Reason::ReadOnlyAfterRelocation),
        b"__got" | b"__auth_got" | b"__auth_ptr" => Some(Reason::Got),
        b"__dyld" | b"__program_vars" | b"__cfstring" => Some(Reason::LoaderData),
        b"__eh_frame" | b"__unwind_info" | b"__compact_unwind" | b"__gcc_except_tab" => {
            Some(Reason::UnwindTable)
        }
        name if name.starts_with(b"__objc_") => Some(Reason::LoaderData),
        _ => None,
    }
}

/// The ranges in ascending order, those that touch or overlap made one.
fn united(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut united: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match united.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => united.push(range),
        }
    }
    united
}

/// What is left of ascending, disjoint ranges without the others.
fn subtract(ranges: Vec<Range<u64>>, others: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let others = united(others.collect());
    let mut left = Vec::new();
    for Range { mut start, end } in ranges {
        let first = others.partition_point(|other| other.end <= start);
        let within = others.iter().skip(first).take_while(|other| other.start < end);
        for other in within {
            if start < other.start {
                left.push(start..other.start);
            }
            start = other.end;
        }
        if start < end {
            left.push(start..end);
        }
    }
    left
}
