//! Changes to what an image says of itself: its identification, its name, where it looks for
//! libraries.

use patch_plan::Plan;

use crate::command::CommandKind;
use crate::resign::{Resigned, plan_edit_and_resign};
use crate::rewrite::{command_size, commands, from_words, plan_commands, with_string};
use crate::{Error, Image, Structure};

/// Plans another UUID; one is added to an image that has none.
///
/// Debuggers look for an image's dSYM by it, and the loader refuses a second library of the same
/// UUID in some processes.
///
/// # Errors
///
/// [`Error::NoRoom`] if a command has to be added and does not fit, and what
/// [`plan_edit_and_resign`] fails with.
pub fn plan_uuid(image: &Image<'_>, uuid: [u8; 16]) -> Result<Resigned, Error> {
    let mut all = commands(image);
    match place(image, CommandKind::UUID) {
        Some(index) => {
            let command = all.get_mut(index);
            let value = command.and_then(|command| command.get_mut(8..)?.first_chunk_mut::<16>());
            *value.ok_or(Error::Absent { structure: Structure::Uuid })? = uuid;
        }
        None => {
            let mut command = from_words(image, &[CommandKind::UUID.0, UUID_SIZE]);
            command.extend_from_slice(&uuid);
            all.push(command);
        }
    }
    finish(image, &all)
}

/// Plans another install name of a library: what those will look for that are linked against it.
///
/// A name that needs no more room than the old one changes nothing but itself; a longer one moves
/// the load commands behind it.
///
/// # Errors
///
/// [`Error::Absent`] for an image without, [`Error::NoRoom`] if the commands would grow into the
/// contents, [`Error::Impossible`] for a name with a NUL in it, and what [`plan_edit_and_resign`]
/// fails with.
pub fn plan_install_name(image: &Image<'_>, name: &[u8]) -> Result<Resigned, Error> {
    let absent = Error::Absent { structure: Structure::InstallName };
    let index = place(image, CommandKind::ID_DYLIB).ok_or(absent)?;
    let mut all = commands(image);
    replace_string(image, &mut all, Structure::InstallName, index, name)?;
    finish(image, &all)
}

/// A change of the directories that `@rpath` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RpathChange<'a> {
    /// One more, searched last.
    Add(&'a [u8]),
    /// Another in place of one.
    Replace {
        /// The one there is.
        old: &'a [u8],
        /// What it becomes.
        new: &'a [u8],
    },
    /// One less.
    Remove(&'a [u8]),
}

/// Plans a change of the directories that `@rpath` stands for.
///
/// # Errors
///
/// [`Error::Absent`] if there is no such directory to replace or remove, [`Error::Impossible`] for
/// one that is there already or has a NUL in it, [`Error::NoRoom`] if the commands would grow into
/// the contents, and what [`plan_edit_and_resign`] fails with.
pub fn plan_rpath(image: &Image<'_>, change: RpathChange<'_>) -> Result<Resigned, Error> {
    let find = |path: &[u8]| {
        let mut commands = image.commands().filter(|command| command.kind == CommandKind::RPATH);
        let found = commands.find(|command| command.string(image.layout, 8) == Some(path));
        found.and_then(|command| usize::try_from(command.index).ok())
    };
    let existing = |path| find(path).ok_or(Error::Absent { structure: Structure::Rpath });
    let is_new = |path| match find(path) {
        // The loader warns of a directory that is there twice, and newer ones refuse it.
        Some(_) => {
            let structure = Structure::Rpath;
            Err(Error::Impossible { structure, what: "it is there already" })
        }
        None => Ok(()),
    };
    let mut all = commands(image);
    match change {
        RpathChange::Add(path) => {
            is_new(path)?;
            check_text(Structure::Rpath, path)?;
            let fixed = from_words(image, &[CommandKind::RPATH.0, 0, RPATH_STRING]);
            all.push(with_string(image, &fixed, path, 0));
        }
        RpathChange::Replace { old, new } => {
            let index = existing(old)?;
            if old != new {
                is_new(new)?;
            }
            replace_string(image, &mut all, Structure::Rpath, index, new)?;
        }
        RpathChange::Remove(path) => {
            all.remove(existing(path)?);
        }
    }
    finish(image, &all)
}

fn place(image: &Image<'_>, kind: CommandKind) -> Option<usize> {
    usize::try_from(image.command(kind)?.index).ok()
}

/// Gives the command at `index` another string; its fixed fields stay.
fn replace_string(
    image: &Image<'_>,
    all: &mut [Vec<u8>],
    structure: Structure,
    index: usize,
    text: &[u8],
) -> Result<(), Error> {
    check_text(structure, text)?;
    let malformed = Error::malformed(
        Structure::LoadCommand,
        index as u64,
        "a string that is not behind its fields",
        command_size(index),
    );
    let Some(command) = all.get_mut(index) else { return Err(malformed) };
    let start = command.get(8..).and_then(|rest| image.layout.u32(rest));
    let fixed = start.and_then(|start| command.get(..usize::try_from(start).ok()?));
    let Some(fixed) = fixed.filter(|fixed| fixed.len() >= RPATH_STRING as usize) else {
        return Err(malformed);
    };
    *command = with_string(image, fixed, text, command.len());
    Ok(())
}

fn check_text(structure: Structure, text: &[u8]) -> Result<(), Error> {
    match text.contains(&0) {
        true => Err(Error::Impossible { structure, what: "a NUL in it would end it" }),
        false => Ok(()),
    }
}

/// The plan for the new commands, moved to where the image is in its file, with its hashes.
fn finish(image: &Image<'_>, commands: &[Vec<u8>]) -> Result<Resigned, Error> {
    let mut plan = Plan::new();
    for edit in plan_commands(image, commands)?.edits() {
        let offset = image.base().saturating_add(edit.offset);
        plan.edit(offset, edit.old.clone(), edit.new.clone())?;
    }
    plan_edit_and_resign(image, &plan)
}

/// `cmdsize` of `LC_UUID`.
const UUID_SIZE: u32 = 24;

/// Where the string of `LC_RPATH` starts, which is right behind its fields.
const RPATH_STRING: u32 = 12;
