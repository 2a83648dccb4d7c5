//! ELF images: what DWARF says, and what the image says without it.

mod image;
mod separate;
mod split;
mod symbols;
mod trace;

use object::elf;

use crate::companion::{Alone, Companions};
use crate::dwarf::{Files, Place, Reading, names, settle};
use crate::{BuildInfo, Error, Flag, Format, Identity, Questions, ReadAt};
use image::Image;

/// What an ELF image says of how it was built.
///
/// ```
/// # fn main() -> Result<(), build_info::Error> {
/// let bytes = [0_u8; 64];
/// let error = build_info::elf::read(&bytes[..], &Default::default()).unwrap_err();
/// assert!(error.to_string().starts_with("not ELF"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If it is not ELF, or its headers are damaged or cut short, or the system cannot read it. What is
/// wrong with debug information is a [remark](BuildInfo::remarks).
pub fn read(source: &(impl ReadAt + ?Sized), questions: &Questions) -> Result<BuildInfo, Error> {
    read_with(source, questions, &Alone)
}

/// What an ELF image says of how it was built, and what its companions do.
///
/// # Errors
///
/// As of [`read`]. A companion that cannot be read is a [remark](BuildInfo::remarks).
pub fn read_with(
    source: &(impl ReadAt + ?Sized),
    questions: &Questions,
    companions: &dyn Companions,
) -> Result<BuildInfo, Error> {
    let source = &source;
    let image = Image::read(source)?;
    let has = |name| image.part(name).is_some();
    if image.kind == elf::ET_REL && (has(".rela.debug_info") || has(".rel.debug_info")) {
        return Err(Error::Unsupported {
            what: "an object that is not linked, whose debug information is not put together",
            cure: "link it, or ask for what it was linked into",
        });
    }
    let mut info = BuildInfo::new(Format::Elf);
    info.identity = build_id(&image);
    let separate = separate::find(&image, companions, &mut info.remarks);
    let separate = separate.as_deref().map(Image::read).transpose()?;
    let described = separate.as_ref().unwrap_or(&image);
    describe(described, *questions, companions, &mut info)?;
    if info.units.is_empty() {
        without_debug_info(&image, described, *questions, &mut info)?;
    } else {
        let names = symbols::undescribed(described, &info.units)?;
        info.remarks.extend(undescribed(&names));
    }
    info.linker = trace::linker(&image).or_else(|| trace::linker(described));
    if questions.commands {
        trace::commands(&image, &mut info);
    }
    Ok(info)
}

/// What tells the build of an ELF image from another.
///
/// # Errors
///
/// As of [`read`].
pub fn identity(source: &(impl ReadAt + ?Sized)) -> Result<Option<Identity>, Error> {
    Ok(build_id(&Image::read(&source)?))
}

/// The addresses of the symbols of a name, as the linker has it, ascending.
///
/// # Errors
///
/// As of [`read`].
pub fn symbol(source: &(impl ReadAt + ?Sized), name: &str) -> Result<Vec<u64>, Error> {
    symbols::find(&Image::read(&source)?, name.as_bytes())
}

/// The addresses of the symbols of a name, as the linker has it, in the image and in the debug
/// information that was stripped from it, ascending.
///
/// # Errors
///
/// As of [`read`].
pub fn symbol_with(
    source: &(impl ReadAt + ?Sized),
    name: &str,
    companions: &dyn Companions,
) -> Result<Vec<u64>, Error> {
    let source = &source;
    let image = Image::read(source)?;
    let mut addresses = symbols::find(&image, name.as_bytes())?;
    if let Some(separate) = separate::find(&image, companions, &mut Vec::new()) {
        addresses.extend(symbols::find(&Image::read(&*separate)?, name.as_bytes())?);
        addresses.sort_unstable();
        addresses.dedup();
    }
    Ok(addresses)
}

fn build_id(image: &Image<'_>) -> Option<Identity> {
    image.note(b"GNU", elf::NT_GNU_BUILD_ID.0).map(Identity::BuildId)
}

/// What debug information says.
fn describe(
    image: &Image<'_>,
    questions: Questions,
    companions: &dyn Companions,
    info: &mut BuildInfo,
) -> Result<(), Error> {
    let length = image.source.length().unwrap_or(0);
    let supplement = separate::supplement(image, companions, &mut info.remarks);
    let supplement = supplement.as_deref().map(Image::read).transpose()?;
    let mut dwarf = names::WHOLE.of(|name| image.section(name), image.endian, length)?;
    if let Some(supplement) = &supplement {
        dwarf.strings.supplement = Some(supplement.section(".debug_str")?);
    }
    let mut files = Files::new(length);
    // What is not asked for need not be unpacked, unless the units lead to all files by macros.
    let macros = [".debug_macro", ".debug_macinfo", ".zdebug_macro", ".zdebug_macinfo"];
    let has_macros = macros.iter().any(|name| image.part(name).is_some());
    if dwarf.info.is_packed() && questions == Questions::FILES && !has_macros {
        let (target, remarks) = (image.target(), info.remarks.len());
        let mut reading = Reading::new(&mut dwarf, info, questions, target, &mut files);
        if reading.units_of_lines().unwrap_or(false) {
            (info.files, info.checksums) = files.finish();
            return Ok(());
        }
        files = Files::new(length);
        info.units.clear();
        info.remarks.truncate(remarks);
    }
    let mut reading = Reading::new(&mut dwarf, info, questions, image.target(), &mut files);
    reading.units()?;
    split::complete(image, companions, &mut reading);
    let claims = reading.claims;
    (info.files, info.checksums) = files.finish();
    if questions.contributions {
        settle(info, claims, code(image));
    }
    Ok(())
}

/// What symbols say, where there is no debug information.
fn without_debug_info(
    image: &Image<'_>,
    described: &Image<'_>,
    questions: Questions,
    info: &mut BuildInfo,
) -> Result<(), Error> {
    info.remarks.push(
        "no debug information: units are known by the names of sources that symbols are listed \
         under, if at all"
            .to_owned(),
    );
    let (units, claims) = symbols::units(described)?;
    info.units = units;
    for unit in &mut info.units {
        unit.flags.push(Flag::NoDebugInfo);
    }
    if questions.contributions {
        settle(info, claims, code(image));
    }
    Ok(())
}

/// Of sources that were compiled without debug information into an image that has some.
fn undescribed(names: &[String]) -> Option<String> {
    let shown = names.get(..names.len().min(MOST_SHOWN)).unwrap_or_default();
    let more = match names.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "not among the units, for want of debug information (-g): {}{more}",
            shown.join(", ")
        )
    })
}

/// How many of them a remark names.
const MOST_SHOWN: usize = 8;

/// Where code can be.
fn code(image: &Image<'_>) -> Vec<Place> {
    let executable = elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0;
    image
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.flags & executable == executable)
        .map(|(number, part)| Place {
            begin: part.address,
            end: part.address.saturating_add(part.size),
            section: u16::try_from(number).unwrap_or(0),
        })
        .collect()
}
