//! Mach-O images: a dSYM, or the objects that the debug map names, or the debug map alone.
//!
//! Apple's linker leaves debug information in the objects. Which they were and which function came
//! from which it writes down as symbols, the debug map; `dsymutil` follows it and puts everything
//! into one file, the dSYM.

mod debug_map;
mod image;
mod slice;
mod symbols;

use object::macho as format;

use crate::companion::{Alone, Companion, Companions};
use crate::dwarf::{Files, Place, Reading, names, settle};
use crate::{BuildInfo, Error, Format, Identity, Linker, Questions, ReadAt};
use image::Image;
use slice::Slice;

/// What a Mach-O image says of how it was built.
///
/// Of a file for several architectures one is read: the first that has 64 bits.
///
/// # Errors
///
/// If it is not Mach-O, or its headers are damaged or cut short, or the system cannot read it. What
/// is wrong with debug information is a [remark](BuildInfo::remarks).
pub fn read(source: &(impl ReadAt + ?Sized), questions: &Questions) -> Result<BuildInfo, Error> {
    read_with(source, questions, &Alone)
}

/// What a Mach-O image says of how it was built, and what its companions do: the dSYM, or the
/// objects that were linked.
///
/// # Errors
///
/// As of [`read`]. A companion that cannot be read is a [remark](BuildInfo::remarks).
pub fn read_with(
    source: &(impl ReadAt + ?Sized),
    questions: &Questions,
    companions: &dyn Companions,
) -> Result<BuildInfo, Error> {
    let mut info = BuildInfo::new(Format::MachO);
    let whole = &source;
    let thin = Slice::thin(whole, None, &mut info.remarks)?;
    let image = Image::read(&thin)?;
    info.identity = image.uuid.map(Identity::Uuid);
    info.linker = image.linker.map(linker);
    if has_debug_info(&image) {
        describe(&image, *questions, &mut info)?;
        return Ok(info);
    }
    if with_debug_symbols(&image, *questions, companions, &mut info)? {
        return Ok(info);
    }
    debug_map::read(&image, *questions, companions, &mut info)?;
    Ok(info)
}

/// What tells the build of a Mach-O image from another.
///
/// # Errors
///
/// As of [`read`].
pub fn identity(source: &(impl ReadAt + ?Sized)) -> Result<Option<Identity>, Error> {
    let whole = &source;
    let thin = Slice::thin(whole, None, &mut Vec::new())?;
    Ok(Image::read(&thin)?.uuid.map(Identity::Uuid))
}

/// The addresses of the symbols of a name, ascending. The underscore that C's names have before them
/// may be left out.
///
/// # Errors
///
/// As of [`read`].
pub fn symbol(source: &(impl ReadAt + ?Sized), name: &str) -> Result<Vec<u64>, Error> {
    let whole = &source;
    let thin = Slice::thin(whole, None, &mut Vec::new())?;
    symbols::find(&Image::read(&thin)?, name.as_bytes())
}

fn has_debug_info(image: &Image<'_>) -> bool {
    image.kind != format::MH_OBJECT
        && image.section(".debug_info").is_ok_and(|section| !section.is_empty())
}

/// What the debug information in an image says.
fn describe(image: &Image<'_>, questions: Questions, info: &mut BuildInfo) -> Result<(), Error> {
    let length = image.source.length().unwrap_or(0);
    let mut dwarf = names::WHOLE.of(|name| image.section(name), image.endian, length)?;
    let mut files = Files::new(length);
    let mut reading = Reading::new(&mut dwarf, info, questions, image.target(), &mut files);
    reading.units()?;
    let claims = reading.claims;
    (info.files, info.checksums) = files.finish();
    if questions.contributions {
        settle(info, claims, code(image));
    }
    Ok(())
}

/// What an image's dSYM says, if there is one. Says whether there is.
fn with_debug_symbols(
    image: &Image<'_>,
    questions: Questions,
    companions: &dyn Companions,
    info: &mut BuildInfo,
) -> Result<bool, Error> {
    let Some(uuid) = image.uuid else { return Ok(false) };
    for place in companions.places(&Companion::DebugSymbols(uuid)) {
        let Some(opened) = companions.open(&place) else { continue };
        let thin = Slice::thin(&*opened.source, Some(image.cpu), &mut Vec::new())?;
        let symbols = Image::read(&thin)?;
        if symbols.uuid == Some(uuid) {
            describe(&symbols, questions, info)?;
            debug_map::name_modules(image, info)?;
            return Ok(true);
        }
        info.remarks.push(format!("{} is of another build", place.display()));
    }
    Ok(false)
}

/// Where code can be.
fn code(image: &Image<'_>) -> Vec<Place> {
    let executable = format::S_ATTR_PURE_INSTRUCTIONS.0 | format::S_ATTR_SOME_INSTRUCTIONS.0;
    image
        .parts
        .iter()
        .zip(1..)
        .filter(|(part, _)| part.flags & executable != 0)
        .map(|(part, section)| Place {
            begin: part.address,
            end: part.address.saturating_add(part.size),
            section,
        })
        .collect()
}

/// The linker, of which the version is recorded.
fn linker(version: u32) -> Linker {
    let [_, _, minor, patch] = version.to_be_bytes();
    let producer = format!("ld {}.{minor}.{patch}", version >> 16);
    Linker { producer: Some(producer), ..Linker::default() }
}
