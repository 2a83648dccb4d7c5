//! Whether a loader would load an image, without asking one.
//!
//! A loader trusts what it maps. A library that is cut short makes it fault inside `dlopen`, with
//! its lock held, and one whose tables lie makes it write wherever they say. So everything that
//! glibc, the least suspicious of the loaders, reads or writes before the first constructor runs
//! is checked here first, in the order in which it would be read.
//!
//! Not checked is what only the program itself would trip over: its code and its data. Nor are
//! other images: whether a needed library exists, and defines what is wanted, the loader finds out
//! and reports by itself.

mod dynamics;
mod hashes;
mod holes;
mod mapping;
mod relocations;
mod symbols;
mod versions;

use object::elf;

use crate::dynamic::Tag;
use crate::segment::SegmentKind;
use crate::symbol::{Binding, SymbolKind, Visibility};
use crate::{Class, Endian, Error, Header, Image, Kind, Machine, Structure};

/// What the host needs of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The word size.
    pub class: Class,
    /// The byte order.
    pub endian: Endian,
    /// The processor.
    pub machine: Machine,
    /// What the image is for: [`Kind::SharedObject`] for anything that `dlopen` takes.
    pub kind: Kind,
    /// A function that the image must define for others, if any.
    pub entry: Option<&'a str>,
}

impl Expected<'_> {
    /// An image that is like another one: for judging a file by itself, whatever it is for.
    pub fn like(header: &Header) -> Expected<'static> {
        Expected {
            class: header.class,
            endian: header.endian,
            machine: header.machine,
            kind: header.kind,
            entry: None,
        }
    }

    /// A shared object that this program could load, with no particular entry.
    ///
    /// ```
    /// use elf_sections::Expected;
    ///
    /// let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
    /// # let _ = expected;
    /// ```
    pub fn native() -> Expected<'static> {
        let machine = match std::env::consts::ARCH {
            "x86_64" => Machine::X86_64,
            "x86" => Machine::X86,
            "aarch64" => Machine::AARCH64,
            "arm" => Machine::ARM,
            "riscv32" | "riscv64" => Machine::RISCV,
            "powerpc64" => Machine::PPC64,
            "s390x" => Machine::S390,
            "loongarch64" => Machine::LOONGARCH,
            "mips" | "mips64" => Machine::MIPS,
            _ => Machine(elf::EM_NONE.0),
        };
        Expected {
            class: if usize::BITS == 32 { Class::Elf32 } else { Class::Elf64 },
            endian: if u16::from_ne_bytes([1, 0]) == 1 { Endian::Little } else { Endian::Big },
            machine,
            kind: Kind::SharedObject,
            entry: None,
        }
    }
}

/// What is to be thought of bytes that should be an image.
#[derive(Debug, Clone)]
pub enum Verdict<'data> {
    /// The loader will find every structure that it trusts.
    Complete(Image<'data>),
    /// A linker is still writing it, or it has been cut short: look again when it has changed.
    Incomplete(Error),
    /// It will never load, however long one waits.
    Unloadable(Error),
}

impl<'data> Verdict<'data> {
    /// The image, if it is complete.
    pub fn complete(self) -> Option<Image<'data>> {
        match self {
            Verdict::Complete(image) => Some(image),
            _ => None,
        }
    }

    /// What is wrong, if anything.
    pub fn reason(&self) -> Option<&Error> {
        match self {
            Verdict::Complete(_) => None,
            Verdict::Incomplete(reason) | Verdict::Unloadable(reason) => Some(reason),
        }
    }
}

/// Judges the bytes of a file that is about to be loaded.
///
/// Costs one pass over the program headers, section headers, dynamic symbols and relocations; code
/// and data are not read.
///
/// A file that is shorter than its headers say, and one with zeros where there cannot be any (the
/// linker has set its length and not filled it yet), is [`Verdict::Incomplete`]. What the headers
/// do not speak of, such as bytes appended to an image, cannot be missed.
pub fn verdict<'data>(data: &'data [u8], expected: &Expected<'_>) -> Verdict<'data> {
    match judge(data, expected) {
        Ok(image) => Verdict::Complete(image),
        Err(reason) if reason.is_incomplete() => Verdict::Incomplete(reason),
        Err(reason) => Verdict::Unloadable(reason),
    }
}

fn judge<'data>(data: &'data [u8], expected: &Expected<'_>) -> Result<Image<'data>, Error> {
    let image = Image::parse(data)?;
    check_identity(&image, expected)?;
    image.check_extent()?;
    holes::check_headers(&image)?;
    if !matches!(expected.kind, Kind::SharedObject | Kind::Executable) {
        return Ok(image);
    }
    mapping::check(&image)?;
    if expected.kind == Kind::Executable {
        return Ok(image);
    }
    let dynamics = dynamics::check(&image)?;
    if image.is_pie() {
        return Err(Error::Executable);
    }
    if image.flags_1() & elf::DF_1_NOOPEN.0 != 0 {
        return Err(Error::NoOpen);
    }
    hashes::check(&image)?;
    let last_version = versions::check(&image, dynamics.strings)?;
    let highest = relocations::check(&image)?;
    symbols::check(&image, highest, last_version)?;
    if let Some(entry) = expected.entry {
        check_entry(&image, entry)?;
    }
    Ok(image)
}

fn check_identity(image: &Image<'_>, expected: &Expected<'_>) -> Result<(), Error> {
    let header = image.header();
    if header.class != expected.class {
        return Err(Error::WrongClass { expected: expected.class, found: header.class });
    }
    if header.endian != expected.endian {
        return Err(Error::WrongEndian { expected: expected.endian, found: header.endian });
    }
    if header.machine != expected.machine {
        return Err(Error::WrongMachine { expected: expected.machine, found: header.machine });
    }
    if header.kind != expected.kind {
        return Err(Error::WrongKind { expected: expected.kind, found: header.kind });
    }
    // System V's is for everyone; GNU's announces unique symbols or indirect functions.
    let known = [elf::ELFOSABI_NONE.0, elf::ELFOSABI_GNU.0, elf::ELFOSABI_FREEBSD.0];
    if !known.contains(&header.os_abi) {
        let (structure, what) = (Structure::FileHeader, "for another operating system");
        let found = u64::from(header.os_abi);
        return Err(Error::Malformed { structure, at: 7, what, found });
    }
    Ok(())
}

/// The entry must be found as `dlsym` finds it, and lead to code.
fn check_entry(image: &Image<'_>, name: &str) -> Result<(), Error> {
    let absent = || Error::NoSymbol { symbol: name.to_owned() };
    let symbol = image.exported(name).ok_or_else(absent)?;
    let is_seen = matches!(symbol.binding, Binding::Global | Binding::Weak | Binding::Unique)
        && matches!(symbol.visibility, Visibility::Default | Visibility::Protected);
    if !is_seen {
        return Err(absent());
    }
    let is_function = matches!(
        symbol.kind,
        SymbolKind::Function | SymbolKind::NoType | SymbolKind::IndirectFunction
    );
    if !is_function {
        let (structure, what) = (Structure::EntryCode, "the entry symbol is no function");
        let (at, found) = (symbol.address, u64::from(symbol.index));
        return Err(Error::Malformed { structure, at, what, found });
    }
    check_code(image, Structure::EntryCode, symbol.address)
}

/// Whether there is a function at an address. No processor's code starts with this many zeros.
fn check_code(image: &Image<'_>, structure: Structure, address: u64) -> Result<(), Error> {
    const ENOUGH: usize = 16;
    // The first ABI of 64-bit PowerPC has a function's address lead to a descriptor in data, whose
    // words are relocated.
    let is_descriptor = image.header().machine == Machine::PPC64 && image.header().flags & 3 != 2;
    let is_code = image.segment_at(address).is_some_and(|it| it.permissions.is_executable());
    if is_descriptor {
        return Ok(());
    }
    if !is_code {
        let what = "a function outside of all code";
        return Err(Error::Malformed { structure, at: address, what, found: address });
    }
    let offset = image.offset_of(address, 1);
    let (Some(offset), Some(bytes)) = (offset, image.bytes_from(address)) else {
        let what = "no byte of the file is there";
        return Err(Error::Malformed { structure, at: address, what, found: address });
    };
    let start = bytes.get(..ENOUGH).unwrap_or(bytes);
    if start.iter().all(|&byte| byte == 0) {
        return Err(Error::ZeroFilled { structure, offset });
    }
    Ok(())
}

/// The table that starts at the address which `start` gives: `size` bytes that the file must have.
fn check_table<'data>(
    image: &Image<'data>,
    structure: Structure,
    start: Tag,
    size: u64,
) -> Result<&'data [u8], Error> {
    let Some(address) = image.dynamic_value(start) else { return Ok(&[]) };
    if size == 0 {
        return Ok(&[]);
    }
    read(image, structure, address, size)
}

/// The bytes that the loader reads at an address: the file must have them, in a segment that may
/// be read.
fn read<'data>(
    image: &Image<'data>,
    structure: Structure,
    address: u64,
    size: u64,
) -> Result<&'data [u8], Error> {
    let bytes = image.bytes_at(address, size).filter(|_| is_readable(image, address));
    let what = "not inside the file's part of a readable segment";
    bytes.ok_or(Error::Malformed { structure, at: address, what, found: size })
}

/// Whether the segment that an address is in may be read. Code need not be.
fn is_readable(image: &Image<'_>, address: u64) -> bool {
    image.segment_at(address).is_some_and(|segment| segment.permissions.is_readable())
}

fn is_segment(kind: SegmentKind) -> impl Fn(&&crate::Segment) -> bool {
    move |segment| segment.kind == kind
}
