//! Files: one image, or several for different processors in a fat one.

use object::macho;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};

use crate::image::file_range;
use crate::{Cpu, Error, Image, Structure};

/// What a file is: an image, or a list of slices that each hold one.
#[derive(Debug, Clone)]
pub enum Container<'data> {
    /// The file is one image.
    Thin(Image<'data>),
    /// The file is fat.
    Fat(Fat<'data>),
}

impl<'data> Container<'data> {
    /// Reads the headers of a file.
    ///
    /// # Errors
    ///
    /// As [`Image::parse`] for a thin file. For a fat one, an error that
    /// [is incomplete](Error::is_incomplete) where the list of slices or a slice reaches beyond
    /// the end, and [`Error::Malformed`] where slices overlap. What a slice holds is read by
    /// [`Slice::image`].
    pub fn parse(data: &'data [u8]) -> Result<Container<'data>, Error> {
        match data.first_chunk::<4>() {
            Some(&magic) if is_fat_magic(magic) => Fat::parse(data).map(Container::Fat),
            None if is_start_of_fat_magic(data) => Err(Error::Short {
                structure: Structure::FatHeader,
                wanted: 4,
                offset: 0,
                end: data.len() as u64,
            }),
            _ => Image::parse(data).map(Container::Thin),
        }
    }

    /// The slices; none for a thin file.
    pub fn slices(&self) -> &[Slice<'data>] {
        match self {
            Container::Thin(_) => &[],
            Container::Fat(fat) => &fat.slices,
        }
    }

    /// Every image of the file, in order.
    pub fn images(&self) -> impl Iterator<Item = Result<Image<'data>, Error>> {
        let thin = match self {
            Container::Thin(image) => Some(Ok(image.clone())),
            Container::Fat(_) => None,
        };
        thin.into_iter().chain(self.slices().iter().map(Slice::image))
    }

    /// The image for a processor: of the same family and model, or else, as a loader would choose,
    /// of the same family's oldest model.
    ///
    /// arm64e programs run arm64 libraries only where the system allows it; whoever cannot have
    /// that compares [`Header::cpu`](crate::Header::cpu).
    ///
    /// # Errors
    ///
    /// What reading the slice fails with. `None` if there is no such image.
    pub fn image_for(&self, cpu: Cpu) -> Option<Result<Image<'data>, Error>> {
        let slice = match self {
            Container::Thin(image) => {
                let fits = image.header().cpu.family == cpu.family;
                return fits.then(|| Ok(image.clone()));
            }
            Container::Fat(fat) => {
                let same = fat.slices.iter().find(|slice| slice.cpu.is(cpu));
                let family = fat.slices.iter().filter(|slice| slice.cpu.family == cpu.family);
                same.or_else(|| family.min_by_key(|slice| slice.cpu.model()))
            }
        };
        slice.map(Slice::image)
    }
}

/// A fat file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fat<'data> {
    /// How its list of slices is laid out.
    pub kind: FatKind,
    /// The slices, in the file's order, which need not be that of their offsets.
    pub slices: Vec<Slice<'data>>,
}

impl<'data> Fat<'data> {
    fn parse(data: &'data [u8]) -> Result<Fat<'data>, Error> {
        if let Some(major) = java_class(data) {
            return Err(Error::JavaClass { major });
        }
        let (structure, end) = (Structure::FatHeader, data.len() as u64);
        let count = data.get(4..).and_then(|rest| rest.first_chunk()).copied();
        let Some(count) = count.map(u32::from_be_bytes) else {
            return Err(Error::Short { structure, wanted: 8, offset: 0, end });
        };
        let is_64 = data.starts_with(&macho::FAT_MAGIC_64.to_be_bytes());
        let (kind, size) = if is_64 { (FatKind::Fat64, 32) } else { (FatKind::Fat32, 20) };
        let wanted = u64::from(count).saturating_mul(size);
        let short = Error::Short { structure, wanted, offset: 8, end };
        let slices = match kind {
            FatKind::Fat32 => {
                let file = MachOFatFile32::parse(data).map_err(|_| short)?;
                slices(data, file.arches())?
            }
            FatKind::Fat64 => {
                let file = MachOFatFile64::parse(data).map_err(|_| short)?;
                slices(data, file.arches())?
            }
        };
        let fat = Fat { kind, slices };
        fat.check_overlaps(wanted.saturating_add(8))?;
        Ok(fat)
    }

    /// Slices must neither share bytes with each other nor with the list of them: an edit of one
    /// would be an edit of both.
    fn check_overlaps(&self, header_end: u64) -> Result<(), Error> {
        let mut ordered: Vec<_> = self.slices.iter().filter(|slice| slice.size != 0).collect();
        ordered.sort_by_key(|slice| slice.offset);
        let mut end = header_end;
        for slice in ordered {
            if slice.offset < end {
                let what = "overlaps what is before it";
                return Err(Error::malformed(Structure::Slice, slice.offset, what, end));
            }
            end = slice.offset.saturating_add(slice.size);
        }
        Ok(())
    }
}

/// How the list of slices is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FatKind {
    /// Offsets of 32 bits, 0xcafebabe.
    Fat32,
    /// Offsets of 64 bits, 0xcafebabf.
    Fat64,
}

/// A slice of a fat file: an image for one processor, or an archive of object files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice<'data> {
    /// The processor it is for.
    pub cpu: Cpu,
    /// Where it starts in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
    /// The power of two it is aligned to.
    pub align: u32,
    /// Its bytes.
    pub data: &'data [u8],
}

impl<'data> Slice<'data> {
    /// The image in it.
    ///
    /// # Errors
    ///
    /// As [`Image::parse`]; [`Error::NotMachO`] for an archive of object files.
    pub fn image(&self) -> Result<Image<'data>, Error> {
        Image::at(self.data, self.offset)
    }
}

fn slices<'data, Arch: FatArch>(
    data: &'data [u8],
    arches: &[Arch],
) -> Result<Vec<Slice<'data>>, Error> {
    let slice = |arch: &Arch| {
        let (offset, size) = arch.file_range();
        Ok(Slice {
            cpu: Cpu { family: arch.cputype().0, subtype: arch.cpusubtype().0 },
            offset,
            size,
            align: arch.align(),
            data: file_range(Structure::Slice, data, offset, size)?,
        })
    };
    arches.iter().map(slice).collect()
}

/// The major version of a Java class file, whose magic number is that of fat files.
///
/// Where a class has its version, a fat file has the number of slices: no class has a major
/// version below 45, and no fat file so many slices.
pub(crate) fn java_class(data: &[u8]) -> Option<u16> {
    if !data.starts_with(&macho::FAT_MAGIC.to_be_bytes()) {
        return None;
    }
    let count = u32::from_be_bytes(*data.get(4..)?.first_chunk()?);
    (count >= FIRST_JAVA).then(|| u16::try_from(count & 0xffff).unwrap_or(u16::MAX))
}

pub(crate) fn is_fat_magic(magic: [u8; 4]) -> bool {
    [macho::FAT_MAGIC, macho::FAT_MAGIC_64].contains(&u32::from_be_bytes(magic))
}

fn is_start_of_fat_magic(data: &[u8]) -> bool {
    let magics = [macho::FAT_MAGIC, macho::FAT_MAGIC_64];
    !data.is_empty() && magics.iter().any(|magic| magic.to_be_bytes().starts_with(data))
}

/// The first release of Java wrote classes of major version 45.
const FIRST_JAVA: u32 = 45;
