//! What is listed of an image, whatever its format.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Range;

use serde::{Serialize, Serializer};

/// A file, or an image in a process. Its JSON form is documented in the long help of
/// `reloader sections`.
#[derive(Debug, Serialize)]
pub struct Listing<'a> {
    pub file: String,
    pub format: &'static str,
    #[serde(flatten)]
    pub place: Option<Place>,
    #[serde(flatten)]
    pub body: Body<'a>,
}

/// Where the image is that is listed, if it is not the whole of a file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// Part of a fat file.
    Slice { offset: u64, size: u64 },
    /// Loaded in a process.
    Process { process: u32, bias: u64, file_state: FileState },
}

/// What has become of the file that a module was loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// It is as it was.
    Unchanged,
    /// It has no name any more, and was read through the process.
    Deleted,
    /// Another file has its name; the old one was read through the process.
    Replaced,
    /// There is none: the kernel provides the image.
    None,
    /// It cannot be read any more; what is known comes from the process's memory.
    Lost,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Body<'a> {
    Image(Box<Image<'a>>),
    Slices {
        slices: Vec<Listing<'a>>,
    },
    /// A slice that is no image.
    Unread {
        machine: String,
        error: String,
    },
}

#[derive(Debug, Serialize)]
pub struct Image<'a> {
    #[serde(skip)]
    pub format: &'static str,
    /// 32 or 64.
    pub class: u8,
    pub endian: &'static str,
    pub machine: String,
    /// What it is for, in words.
    #[serde(skip)]
    pub purpose: String,
    pub segments: Vec<Segment<'a>>,
    pub sections: Vec<Section<'a>>,
    #[serde(flatten)]
    pub writable: Option<Writable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<Vec<Symbol<'a>>>,
    /// What the loader makes read-only as a whole.
    #[serde(skip)]
    pub protected: Range<u64>,
    /// Whether only what is writable is listed.
    #[serde(skip)]
    pub is_only_writable: bool,
    /// What could not be found out, and why.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Segment<'a> {
    pub name: Name<'a>,
    pub address: u64,
    pub memory_size: u64,
    pub file_offset: u64,
    pub file_size: u64,
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    /// Whether the loader maps it.
    #[serde(skip)]
    pub is_mapped: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Section<'a> {
    pub name: Name<'a>,
    pub segment: Option<Name<'a>>,
    pub address: u64,
    pub size: u64,
    pub file_offset: u64,
    pub file_size: u64,
    pub writable: bool,
    pub excluded: Option<&'static str>,
    /// Whether it has addresses of its own in memory.
    #[serde(skip)]
    pub is_mapped: bool,
    #[serde(skip)]
    pub is_code: bool,
}

/// A name of an image: any bytes, and as many of them as a hostile image likes, so that they stay
/// where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a>(pub Cow<'a, [u8]>);

/// The writable memory, taken apart.
#[derive(Debug, Default, Serialize)]
pub struct Writable {
    pub variables: Vec<Span>,
    pub excluded: Vec<Span>,
    pub thread_local: Option<ThreadLocal>,
}

/// A range of addresses, with the reason if it holds no variables.
#[derive(Clone, Debug, Serialize)]
pub struct Span {
    pub address: u64,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct ThreadLocal {
    /// Where the initial values are.
    pub address: u64,
    /// How many bytes of them there are.
    pub template_size: u64,
    /// The size of each thread's block.
    pub size: u64,
    pub align: u64,
}

#[derive(Debug, Serialize)]
pub struct Symbol<'a> {
    pub name: Name<'a>,
    pub address: u64,
    /// Absent in formats that do not say it.
    pub size: Option<u64>,
    pub kind: &'static str,
    pub binding: &'static str,
    pub section: Option<Name<'a>>,
    /// The source file, where the image tells it.
    pub file: Option<Name<'a>>,
    pub version: Option<Name<'a>>,
    pub excluded: Option<&'static str>,
}

/// What is wanted besides segments and sections.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The writable memory, taken apart.
    pub ranges: bool,
    /// Only what is writable.
    pub only_writable: bool,
    pub symbols: bool,
}

impl<'a> From<&'a [u8]> for Name<'a> {
    fn from(bytes: &'a [u8]) -> Name<'a> {
        Name(Cow::Borrowed(bytes))
    }
}

impl From<String> for Name<'_> {
    fn from(text: String) -> Name<'static> {
        Name(Cow::Owned(text.into_bytes()))
    }
}

impl Name<'_> {
    /// As much of it as a line of text has room for.
    pub fn shown(&self) -> String {
        let more = if self.start().len() < self.0.len() { "…" } else { "" };
        format!("{}{more}", String::from_utf8_lossy(self.start()))
    }

    /// The part of it that is shown, and by which it is sorted.
    fn start(&self) -> &[u8] {
        &self.0[..self.0.len().min(MOST_SHOWN)]
    }
}

/// With a � for what is no text.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_char('\u{fffd}') }
        })
    }
}

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Segment<'_> {
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.memory_size)
    }
}

impl Section<'_> {
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.size)
    }
}

impl Span {
    pub fn of(range: &Range<u64>, reason: Option<&'static str>, bias: u64) -> Span {
        let size = range.end.saturating_sub(range.start);
        Span { address: range.start.wrapping_add(bias), size, reason }
    }

    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.size)
    }
}

impl Wanted {
    /// Whether the writable memory has to be taken apart: to be shown, or to tell which symbols
    /// are variables.
    pub fn needs_ranges(&self) -> bool {
        self.ranges || self.symbols
    }
}

impl ThreadLocal {
    pub fn of(template: &Range<u64>, size: u64, align: u64, bias: u64) -> ThreadLocal {
        let Span { address, size: template_size, .. } = Span::of(template, None, bias);
        ThreadLocal { address, template_size, size, align }
    }
}

impl Writable {
    pub fn of<'a>(
        variables: &[Range<u64>],
        excluded: impl Iterator<Item = (&'a Range<u64>, &'static str)>,
        thread_local: Option<ThreadLocal>,
        bias: u64,
    ) -> Writable {
        Writable {
            variables: variables.iter().map(|it| Span::of(it, None, bias)).collect(),
            excluded: excluded.map(|(it, reason)| Span::of(it, Some(reason), bias)).collect(),
            thread_local,
        }
    }

    /// Why an address is none of a variable's, if it is writable at all.
    fn exclusion_at(&self, address: u64) -> Option<&'static str> {
        let position = self.excluded.partition_point(|it| it.range().end <= address);
        self.excluded.get(position).filter(|it| it.range().contains(&address))?.reason
    }
}

impl Image<'_> {
    /// Whether the loader makes the whole of a range read-only.
    pub fn protects(&self, range: &Range<u64>) -> bool {
        self.protected.start <= range.start && range.end <= self.protected.end
    }

    /// Puts symbols in their order, says which are variables, and drops what was not asked for.
    pub fn finished(mut self, wanted: &Wanted) -> Self {
        let Image { symbols, writable, sections, .. } = &mut self;
        if let Some(symbols) = symbols {
            symbols.sort_by(|a, b| (a.address, a.name.start()).cmp(&(b.address, b.name.start())));
            for symbol in &mut *symbols {
                let known = symbol.excluded.is_some();
                let found = writable.as_ref().and_then(|it| it.exclusion_at(symbol.address));
                symbol.excluded = if known { symbol.excluded } else { found };
            }
        }
        if wanted.only_writable {
            if let Some(symbols) = symbols {
                symbols.retain(|it| !matches!(it.excluded, Some("read-only" | "not-mapped")));
            }
            sections.retain(|section| section.writable);
            self.segments.retain(|segment| segment.write);
        }
        if !wanted.ranges {
            self.writable = None;
        }
        self
    }
}

/// The most bytes of a name that are shown as text. With `--json` all are.
const MOST_SHOWN: usize = 1024;
