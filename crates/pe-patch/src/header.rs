//! The headers at the front: DOS, NT, optional, and the data directories.

use std::fmt;

use object::LittleEndian as LE;
use object::pe;

use crate::bytes::{self, structure};
use crate::{Error, Structure};

/// What the DOS, NT and optional headers say, widened to one form for PE32 and PE32+.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Where the NT headers start, `e_lfanew`.
    pub offset: u64,
    /// Whether the image is PE32 or PE32+.
    pub format: Format,
    /// `Machine`, as the file header has it; [`Image::machine`](crate::Image::machine) knows the
    /// hybrids apart.
    pub machine: Machine,
    /// `NumberOfSections`.
    pub number_of_sections: u16,
    /// `TimeDateStamp`: seconds since 1970, or a hash where the build is reproducible.
    pub time_date_stamp: u32,
    /// `PointerToSymbolTable`: the offset of COFF symbols, 0 for none. MinGW images have them.
    pub pointer_to_symbol_table: u32,
    /// `NumberOfSymbols`, 18 bytes each.
    pub number_of_symbols: u32,
    /// `SizeOfOptionalHeader`: where the section table starts, counted from the optional header.
    pub size_of_optional_header: u16,
    /// `Characteristics`.
    pub characteristics: u16,
    /// `SizeOfInitializedData`.
    pub size_of_initialized_data: u32,
    /// `AddressOfEntryPoint`.
    pub address_of_entry_point: u32,
    /// `ImageBase`: where the image would like to be.
    pub image_base: u64,
    /// `SectionAlignment`: of sections in memory.
    pub section_alignment: u32,
    /// `FileAlignment`: of sections in the file.
    pub file_alignment: u32,
    /// `SizeOfImage`: how much memory the image takes.
    pub size_of_image: u32,
    /// `SizeOfHeaders`: how much of the file's start is mapped at the base.
    pub size_of_headers: u32,
    /// `CheckSum`.
    pub check_sum: u32,
    /// `Subsystem`.
    pub subsystem: u16,
    /// `DllCharacteristics`.
    pub dll_characteristics: u16,
    /// `NumberOfRvaAndSizes`, as the header has it; more than 16 mean 16.
    pub number_of_rva_and_sizes: u32,
}

/// The two forms of the optional header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit addresses.
    Pe32,
    /// 64-bit addresses.
    Pe32Plus,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Pe32 => "PE32",
            Format::Pe32Plus => "PE32+",
        })
    }
}

/// `Machine`: the processor that an image is for.
///
/// The hybrids never stand in a file header: an ARM64EC image calls itself x64 and an ARM64X image
/// ARM64, and [`Image::machine`](crate::Image::machine) tells them by their metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine(pub u16);

impl Machine {
    /// 32-bit x86.
    pub const X86: Machine = Machine(pe::IMAGE_FILE_MACHINE_I386.0);
    /// x86-64.
    pub const X64: Machine = Machine(pe::IMAGE_FILE_MACHINE_AMD64.0);
    /// 32-bit ARM, Thumb-2.
    pub const ARM: Machine = Machine(pe::IMAGE_FILE_MACHINE_ARMNT.0);
    /// 64-bit ARM.
    pub const ARM64: Machine = Machine(pe::IMAGE_FILE_MACHINE_ARM64.0);
    /// 64-bit ARM code that an x64 process can call.
    pub const ARM64EC: Machine = Machine(pe::IMAGE_FILE_MACHINE_ARM64EC.0);
    /// One file for both ARM64 and ARM64EC processes.
    pub const ARM64X: Machine = Machine(pe::IMAGE_FILE_MACHINE_ARM64X.0);
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Machine::X86 => "x86",
            Machine::X64 => "x64",
            Machine::ARM => "arm",
            Machine::ARM64 => "arm64",
            Machine::ARM64EC => "arm64ec",
            Machine::ARM64X => "arm64x",
            Machine(other) => return write!(f, "machine {other:#06x}"),
        };
        f.write_str(name)
    }
}

/// Which of the data directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DirectoryKind {
    /// Exported functions.
    Export = 0,
    /// Imported functions.
    Import = 1,
    /// Resources.
    Resource = 2,
    /// Unwinding.
    Exception = 3,
    /// Certificates; the one whose address is an offset in the file.
    Security = 4,
    /// Base relocations.
    BaseRelocation = 5,
    /// Debugging.
    Debug = 6,
    /// Reserved for architectures.
    Architecture = 7,
    /// The global pointer.
    GlobalPointer = 8,
    /// Thread-local storage.
    ThreadLocal = 9,
    /// Load configuration.
    LoadConfig = 10,
    /// Bound imports, which lie in the headers.
    BoundImport = 11,
    /// The import address table.
    ImportAddressTable = 12,
    /// Delayed imports.
    DelayImport = 13,
    /// The header of the common language runtime (.NET).
    Clr = 14,
    /// Reserved.
    Reserved = 15,
}

impl DirectoryKind {
    /// All of them, in the order of the table.
    pub const ALL: [DirectoryKind; 16] = [
        DirectoryKind::Export,
        DirectoryKind::Import,
        DirectoryKind::Resource,
        DirectoryKind::Exception,
        DirectoryKind::Security,
        DirectoryKind::BaseRelocation,
        DirectoryKind::Debug,
        DirectoryKind::Architecture,
        DirectoryKind::GlobalPointer,
        DirectoryKind::ThreadLocal,
        DirectoryKind::LoadConfig,
        DirectoryKind::BoundImport,
        DirectoryKind::ImportAddressTable,
        DirectoryKind::DelayImport,
        DirectoryKind::Clr,
        DirectoryKind::Reserved,
    ];
}

impl fmt::Display for DirectoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DirectoryKind::Export => "export directory",
            DirectoryKind::Import => "import directory",
            DirectoryKind::Resource => "resource directory",
            DirectoryKind::Exception => "exception directory",
            DirectoryKind::Security => "certificate table",
            DirectoryKind::BaseRelocation => "base relocations",
            DirectoryKind::Debug => "debug directory",
            DirectoryKind::Architecture => "architecture directory",
            DirectoryKind::GlobalPointer => "global pointer",
            DirectoryKind::ThreadLocal => "thread-local storage directory",
            DirectoryKind::LoadConfig => "load configuration",
            DirectoryKind::BoundImport => "bound imports",
            DirectoryKind::ImportAddressTable => "import address table",
            DirectoryKind::DelayImport => "delayed imports",
            DirectoryKind::Clr => "CLR header",
            DirectoryKind::Reserved => "reserved directory",
        })
    }
}

/// One of the data directories: where something is and how many bytes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataDirectory {
    /// Its address; for [`DirectoryKind::Security`] its offset in the file.
    pub address: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// Both optional headers have these fields by the same names.
macro_rules! widen {
    ($offset:expr, $format:expr, $file:expr, $optional:expr) => {
        Header {
            offset: $offset,
            format: $format,
            machine: Machine($file.machine.get(LE).0),
            number_of_sections: $file.number_of_sections.get(LE),
            time_date_stamp: $file.time_date_stamp.get(LE),
            pointer_to_symbol_table: $file.pointer_to_symbol_table.get(LE),
            number_of_symbols: $file.number_of_symbols.get(LE),
            size_of_optional_header: $file.size_of_optional_header.get(LE),
            characteristics: $file.characteristics.get(LE).0,
            size_of_initialized_data: $optional.size_of_initialized_data.get(LE),
            address_of_entry_point: $optional.address_of_entry_point.get(LE),
            image_base: $optional.image_base.get(LE).into(),
            section_alignment: $optional.section_alignment.get(LE),
            file_alignment: $optional.file_alignment.get(LE),
            size_of_image: $optional.size_of_image.get(LE),
            size_of_headers: $optional.size_of_headers.get(LE),
            check_sum: $optional.check_sum.get(LE),
            subsystem: $optional.subsystem.get(LE).0,
            dll_characteristics: $optional.dll_characteristics.get(LE).0,
            number_of_rva_and_sizes: $optional.number_of_rva_and_sizes.get(LE),
        }
    };
}

impl Header {
    pub(crate) fn parse(data: &[u8]) -> Result<Header, Error> {
        let dos: &pe::ImageDosHeader =
            structure(data, 0, Structure::DosHeader).map_err(|error| {
                // What does not even start like one is no truncated image.
                if data.is_empty() || data.starts_with(b"M") { error } else { not_dos(data) }
            })?;
        if dos.e_magic.get(LE) != pe::IMAGE_DOS_SIGNATURE {
            return Err(not_dos(data));
        }
        let offset = u64::from(dos.e_lfanew.get(LE));
        let (wanted, end) = (FILE_HEADER_SIZE, data.len() as u64);
        let front = bytes::range(data, offset, wanted).ok_or(Error::Short {
            structure: Structure::FileHeader,
            wanted,
            offset,
            end,
        })?;
        if !front.starts_with(SIGNATURE) {
            let found: Vec<u8> = front.iter().copied().take(4).collect();
            if front.iter().all(|&byte| byte == 0) {
                return Err(Error::ZeroFilled { structure: Structure::FileHeader, offset });
            }
            return Err(Error::NotPe { structure: Structure::FileHeader, offset, found });
        }
        let at = offset.saturating_add(SIGNATURE.len() as u64);
        let file: &pe::ImageFileHeader = structure(data, at, Structure::FileHeader)?;
        let at = offset.saturating_add(FILE_HEADER_SIZE);
        let magic: &object::U16<LE> = structure(data, at, Structure::OptionalHeader)?;
        let header = match magic.get(LE) {
            pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => {
                let optional: &pe::ImageOptionalHeader32 =
                    structure(data, at, Structure::OptionalHeader)?;
                widen!(offset, Format::Pe32, file, optional)
            }
            pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => {
                let optional: &pe::ImageOptionalHeader64 =
                    structure(data, at, Structure::OptionalHeader)?;
                widen!(offset, Format::Pe32Plus, file, optional)
            }
            0 => {
                return Err(Error::ZeroFilled { structure: Structure::OptionalHeader, offset: at });
            }
            found => {
                return Err(Error::Malformed {
                    structure: Structure::OptionalHeader,
                    at,
                    what: "its magic is neither PE32's nor PE32+'s",
                    found: u64::from(found),
                });
            }
        };
        Ok(header)
    }

    /// Where the optional header starts.
    pub(crate) fn optional_offset(&self) -> u64 {
        self.offset.saturating_add(FILE_HEADER_SIZE)
    }

    /// Where the data directories start: right behind the fixed fields, whatever
    /// `SizeOfOptionalHeader` says, as the loader has it.
    pub(crate) fn directories_offset(&self) -> u64 {
        let fixed = match self.format {
            Format::Pe32 => size_of::<pe::ImageOptionalHeader32>(),
            Format::Pe32Plus => size_of::<pe::ImageOptionalHeader64>(),
        };
        self.optional_offset().saturating_add(fixed as u64)
    }

    /// Where the entry of a data directory is, if the table has it.
    pub(crate) fn directory_offset(&self, kind: DirectoryKind) -> Option<u64> {
        let index = kind as u64;
        (index < self.directory_count())
            .then(|| self.directories_offset().saturating_add(index.saturating_mul(8)))
    }

    /// How many data directories the loader looks at.
    pub(crate) fn directory_count(&self) -> u64 {
        u64::from(self.number_of_rva_and_sizes).min(DirectoryKind::ALL.len() as u64)
    }

    /// Where the section table starts.
    pub(crate) fn section_table_offset(&self) -> u64 {
        self.optional_offset().saturating_add(u64::from(self.size_of_optional_header))
    }

    /// Where `NumberOfSections` is.
    pub(crate) fn number_of_sections_offset(&self) -> u64 {
        self.offset.saturating_add(6)
    }

    /// Where `SizeOfInitializedData` is, in both formats.
    pub(crate) fn size_of_initialized_data_offset(&self) -> u64 {
        self.optional_offset().saturating_add(8)
    }

    /// Where `SizeOfImage` is, in both formats.
    pub(crate) fn size_of_image_offset(&self) -> u64 {
        self.optional_offset().saturating_add(56)
    }

    /// Where `CheckSum` is, in both formats.
    pub(crate) fn check_sum_offset(&self) -> u64 {
        self.optional_offset().saturating_add(64)
    }

    /// Whether sections are aligned to less than a page. The loader then maps the whole file as it
    /// is, so that offsets are addresses.
    pub(crate) fn is_low_alignment(&self) -> bool {
        self.section_alignment < PAGE
    }
}

fn not_dos(data: &[u8]) -> Error {
    let found: Vec<u8> = data.iter().copied().take(4).collect();
    if data.iter().take(size_of::<pe::ImageDosHeader>()).all(|&byte| byte == 0) {
        return Error::ZeroFilled { structure: Structure::DosHeader, offset: 0 };
    }
    Error::NotPe { structure: Structure::DosHeader, offset: 0, found }
}

const SIGNATURE: &[u8] = b"PE\0\0";

/// The size of the signature and the file header.
const FILE_HEADER_SIZE: u64 = 24;

/// The size of a page on every machine that Windows runs on, as far as mapping images goes.
pub(crate) const PAGE: u32 = 4096;
