//! Changes to what an image says of itself, as edits of its bytes.

mod draft;
mod linkage;
mod room;
mod sections;
mod slack;
mod strings;
mod symbols;

use patch_plan::Plan;

use self::draft::Draft;
pub(crate) use self::symbols::{as_global, info_offset};
use crate::symbol::LONGEST_STRING;
use crate::{DebugLink, Error, Image, Structure};

/// What to change in an image. The default changes nothing.
///
/// ```
/// use elf_sections::{Changes, Image, plan_changes};
///
/// # let Ok(bytes) = std::fs::read("/lib/x86_64-linux-gnu/libm.so.6") else { return Ok(()) };
/// let image = Image::parse(&bytes)?;
/// let changes = Changes {
///     soname: Some(b"libm-of-our-own.so.6".to_vec()),
///     runpath: Some(b"$ORIGIN/../lib".to_vec()),
///     ..Changes::default()
/// };
/// let mut changed = bytes.clone();
/// plan_changes(&image, &changes)?.apply_to_vec(&mut changed)?;
/// assert_eq!(Image::parse(&changed)?.soname(), Some(&b"libm-of-our-own.so.6"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// The image's own name, `DT_SONAME`.
    pub soname: Option<Vec<u8>>,
    /// Where the loader looks for libraries, `DT_RUNPATH`. A `DT_RPATH` becomes one: it would be
    /// ignored beside it.
    pub runpath: Option<Vec<u8>>,
    /// Libraries that are needed under another name: what they are called now, and what they shall
    /// be called. The versions that are wanted of them follow.
    pub replace_needed: Vec<(Vec<u8>, Vec<u8>)>,
    /// Libraries that are needed besides, behind all others.
    pub add_needed: Vec<Vec<u8>>,
    /// The build ID; it must be as long as the one there is.
    pub build_id: Option<Vec<u8>>,
    /// Where the debugging information is.
    pub debug_link: Option<DebugLink<'a>>,
    /// Make unique symbols ordinary global ones, see
    /// [`plan_load_copy`](crate::plan_load_copy).
    pub localize_unique: bool,
    /// Take away the flag that forbids unloading.
    pub allow_unload: bool,
}

/// Plans changes to an image.
///
/// The plan is the smallest that was found:
///
/// - A name that the dynamic strings have already, if only as the end of another, is used as it
///   is. One that fits where the old one is replaces it, if no symbol, version or other entry
///   shares those bytes. Otherwise the dynamic strings are copied, with the new ones behind them,
///   to where there is room, and the old ones stay unused.
/// - A new entry of the dynamic table takes a spare one, or that of `DT_RELACOUNT`, without
///   which the loader relocates the image as well, more slowly; else the table is copied as well.
/// - Room is at first the rest of the last page of a read-only segment, if the file has nothing
///   there: it is mapped anyway, and only the segment's sizes change. Otherwise a segment is
///   added at the end of the file, above all others in memory. Its program header takes the place
///   of an unused one, or of a `PT_NOTE` that says the same as `PT_GNU_PROPERTY`; if there is none,
///   the program headers are copied into the new segment as well. No other segment moves, no
///   address changes, and no header that means something is given up.
/// - glibc looks for the program headers in the pages of every segment, to the end of the last one,
///   so copied ones start on a page of the file that no other segment reaches into.
/// - Before 5.18 Linux told a program that its headers are at `e_phoff` behind the first segment's
///   start. So that they are, a program whose headers are copied gets the new segment at the same
///   distance in the file as in memory, which may leave a hole before it.
/// - An image that relocates itself, a loader or a program that is linked statically and may be
///   loaded anywhere, finds its tables without being told: it gets no run path, and neither its
///   program headers nor its dynamic table move.
/// - Sections that are in no segment grow at the end of the file, with the section headers if one
///   is added.
///
/// Strip before changing, not after: GNU `strip` and `eu-strip` lay the file out anew, and destroy
/// an image of which a table has moved.
///
/// Bytes that were appended to an image and are found by their distance from its end (archives
/// that extract themselves) are not found any more where the file grows.
///
/// # Errors
///
/// [`Error::Absent`] where the image lacks what is to be changed, or the table that a name would
/// go into; [`Error::NotNeeded`] for a library to be renamed that is not there;
/// [`Error::ZeroInName`]; [`Error::NoRoom`] where nothing can grow: a build ID of another length,
/// a name of more than 65,535 bytes, no address left for a segment, or a hole of more than 16 MiB; [`Error::SelfRelocating`] for what
/// an image that relocates itself would not start with. [`Error::Short`] and
/// [`Error::Malformed`] where the image is not what its headers say.
pub fn plan_changes(image: &Image<'_>, changes: &Changes<'_>) -> Result<Plan, Error> {
    let names = changes.soname.iter().chain(&changes.runpath).chain(&changes.add_needed);
    for name in names.chain(changes.replace_needed.iter().map(|(_, name)| name)) {
        check_name(name)?;
    }
    let mut draft = Draft::new(image)?;
    if changes.localize_unique {
        symbols::make_global(&mut draft)?;
    }
    if let Some(build_id) = &changes.build_id {
        set_build_id(&mut draft, build_id)?;
    }
    linkage::change(&mut draft, changes)?;
    if let Some(link) = changes.debug_link {
        sections::set_debug_link(&mut draft, link)?;
    }
    draft.finish()
}

/// Whether a name can be written and read again.
fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.contains(&0) {
        return Err(Error::ZeroInName { name: name.escape_ascii().to_string() });
    }
    if name.len() > LONGEST_STRING {
        let (wanted, room) = (name.len() as u64, LONGEST_STRING as u64);
        return Err(Error::NoRoom { structure: Structure::DynamicStrings, wanted, room });
    }
    Ok(())
}

fn set_build_id(draft: &mut Draft<'_, '_>, new: &[u8]) -> Result<(), Error> {
    let structure = Structure::BuildId;
    let found = draft.image.notes().find(crate::Note::is_build_id);
    let note = found.ok_or(Error::Absent { structure })?;
    if note.descriptor.len() != new.len() {
        let (wanted, room) = (new.len() as u64, note.descriptor.len() as u64);
        return Err(Error::NoRoom { structure, wanted, room });
    }
    draft.replace(note.offset, new)
}
