//! What must hold of every edit.

use std::ops::Range;

use patch_plan::Plan;

use super::MOST;
use crate::{
    CommandKind, Container, Error, Image, Resigned, RpathChange, plan_edit_and_resign,
    plan_install_name, plan_rpath, plan_uuid,
};

/// Edits `bytes` in a way that they themselves choose, with the signature renewed, and checks that
/// nothing but what was asked for has changed and that the signature then holds.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn macho_resign(bytes: &[u8]) {
    let Ok(container) = Container::parse(bytes) else { return };
    for image in container.images().take(MOST).flatten() {
        let file = File::new(bytes, &image);
        let seed = image
            .data()
            .iter()
            .rev()
            .take(64)
            .fold(1_u64, |seed, &byte| seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        for round in 0..4_u64 {
            file.edit_bytes(&container, seed.wrapping_mul(round.wrapping_add(1)));
        }
        let name = seed.to_string().repeat((seed % 9) as usize);
        file.change_uuid([seed as u8; 16]);
        file.change_install_name(name.as_bytes());
        let rpaths: Vec<&[u8]> = image.rpaths().collect();
        let some = (seed >> 8).checked_rem(rpaths.len() as u64).unwrap_or(0);
        let some = rpaths.get(some as usize).copied().unwrap_or_default();
        let changes = [
            RpathChange::Add(name.as_bytes()),
            RpathChange::Replace { old: some, new: name.as_bytes() },
            RpathChange::Remove(some),
        ];
        changes.into_iter().for_each(|change| file.change_rpath(&rpaths, change));
    }
}

/// A file, and the image of it that is edited.
struct File<'a> {
    bytes: &'a [u8],
    image: &'a Image<'a>,
    /// Where in the file the hashes of its code directories are.
    hashes: Vec<Range<u64>>,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8], image: &'a Image<'a>) -> File<'a> {
        let signature = image.signature().ok().flatten();
        let directories = signature.iter().flat_map(|it| &it.directories);
        let hashes = directories.map(|directory| {
            let start = image.base().saturating_add(directory.offset);
            let pages = (0..u64::from(directory.code_slots)).map(|it| directory.hash_range(it));
            let special = (1..=directory.special_slots).map(|it| directory.special_range(it));
            let all: Vec<Range<usize>> = pages.chain(special).flatten().collect();
            let first = all.iter().map(|range| range.start).min().unwrap_or(0);
            let last = all.iter().map(|range| range.end).max().unwrap_or(0);
            start.saturating_add(first as u64)..start.saturating_add(last as u64)
        });
        File { bytes, image, hashes: hashes.collect() }
    }

    fn edit_bytes(&self, container: &Container<'_>, place: u64) {
        let image = self.image;
        let place = place.checked_rem(image.data().len() as u64).unwrap_or(0);
        let old = image.data().iter().copied().skip(place as usize).take(3).collect::<Vec<_>>();
        let new = old.iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>();
        let mut edits = Plan::new();
        if edits.edit(image.base().wrapping_add(place), old.clone(), new).is_err() {
            return;
        }
        let resigned = plan_edit_and_resign(image, &edits);
        let edited = place..place.saturating_add(old.len() as u64);
        self.check(&resigned, &[edited]);
        // The whole file's answer is the same, unless the edit is in what precedes slices.
        if let (Ok(one), Ok(all)) = (&resigned, container.plan_edit_and_resign(&edits)) {
            assert_eq!(one.plan, all.plan);
        }
    }

    fn change_uuid(&self, uuid: [u8; 16]) {
        let Some((edited, before, after)) = self.change_commands(&plan_uuid(self.image, uuid))
        else {
            return;
        };
        let mut wanted = before;
        match self.image.command(CommandKind::UUID) {
            Some(command) => {
                let command = wanted.get_mut(command.index as usize);
                let place = command.and_then(|command| command.get_mut(8..24));
                place.into_iter().for_each(|place| place.copy_from_slice(&uuid));
            }
            None => wanted.extend(after.last().cloned()),
        }
        assert_eq!(after, wanted);
        assert_eq!(self.again(&edited).and_then(|it| it.uuid()), Some(uuid));
    }

    fn change_install_name(&self, name: &[u8]) {
        let resigned = plan_install_name(self.image, name);
        let Some((edited, before, after)) = self.change_commands(&resigned) else { return };
        let index = self.image.command(CommandKind::ID_DYLIB).map(|it| it.index as usize);
        self.one_string_differs(&before, &after, index);
        assert_eq!(self.again(&edited).and_then(|it| it.install_name()), Some(name));
    }

    /// `before` are the directories that there are.
    fn change_rpath(&self, before: &[&[u8]], change: RpathChange<'_>) {
        let resigned = plan_rpath(self.image, change);
        let Some((edited, commands, after)) = self.change_commands(&resigned) else { return };
        let mut wanted = before.to_vec();
        let place = |path| before.iter().position(|&it| it == path);
        // The command of a directory: the first that names it.
        let command = |path| {
            let mut all =
                self.image.commands().filter(|command| command.kind == CommandKind::RPATH);
            let found = all.find(|command| command.string(self.image.layout, 8) == Some(path));
            found.map(|command| command.index as usize)
        };
        match change {
            RpathChange::Add(path) => {
                wanted.push(path);
                assert_eq!(after.split_last().map(|(_, rest)| rest), Some(&commands[..]));
            }
            RpathChange::Replace { old, new } => {
                let renamed = place(old).and_then(|place| wanted.get_mut(place));
                renamed.into_iter().for_each(|it| *it = new);
                self.one_string_differs(&commands, &after, command(old));
            }
            RpathChange::Remove(path) => {
                place(path).map(|place| wanted.remove(place));
                let mut rest = commands;
                command(path).map(|index| rest.remove(index));
                assert_eq!(after, rest);
            }
        }
        let found = self.again(&edited).map(|it| it.rpaths().map(<[u8]>::to_vec).collect());
        assert_eq!(found, Some(wanted.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()));
    }

    /// All commands but the one at `index` are the same, and of that one the fields before its
    /// string, its size apart.
    fn one_string_differs(&self, before: &[Vec<u8>], after: &[Vec<u8>], index: Option<usize>) {
        assert_eq!(before.len(), after.len());
        for (place, (before, after)) in before.iter().zip(after).enumerate() {
            if Some(place) != index {
                assert_eq!(before, after);
                continue;
            }
            let start = before.get(8..).and_then(|rest| self.image.layout.u32(rest));
            let start = start.unwrap_or(0) as usize;
            assert_eq!(before.get(..4), after.get(..4));
            assert_eq!(before.get(8..start), after.get(8..start));
            assert!(after.len() >= before.len());
        }
    }

    /// The file after a change of its load commands, and these before and after it.
    fn change_commands(&self, resigned: &Result<Resigned, Error>) -> Option<ChangedCommands> {
        let Ok(planned) = resigned else {
            self.check(resigned, &[]);
            return None;
        };
        let mut edited = self.bytes.to_vec();
        assert_eq!(planned.plan.apply(&mut edited), Ok(()));
        let after = self.again(&edited);
        assert!(after.is_some(), "the changed image cannot be read");
        let after = after?;
        let start = self.image.layout.header_size() as u64;
        let end = |image: &Image<'_>| start.saturating_add(u64::from(image.header().commands_size));
        let (old_end, new_end) = (end(self.image), end(&after));
        // The number and size of the commands, and all of them.
        self.check(resigned, &[16..24, start..old_end.max(new_end)])?;
        // What has grown has grown into zeros.
        let grown = self.image.data().get(old_end as usize..new_end as usize);
        assert!(grown.is_none_or(|grown| grown.iter().all(|&byte| byte == 0)));
        assert_eq!(self.image.segments(), after.segments());
        assert_eq!(self.image.sections(), after.sections());
        let commands = |image: &Image<'_>| -> Vec<Vec<u8>> {
            image.commands().map(|command| command.bytes.to_vec()).collect()
        };
        let after = commands(&after);
        Some((edited, commands(self.image), after))
    }

    /// The file after the plan, which undoes itself, changes nothing outside of `allowed` (counted
    /// from the image's start) but hashes, and leaves a signature that holds.
    fn check(&self, resigned: &Result<Resigned, Error>, allowed: &[Range<u64>]) -> Option<Vec<u8>> {
        let resigned = match resigned {
            Ok(resigned) => resigned,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return None;
            }
        };
        let mut edited = self.bytes.to_vec();
        assert_eq!(resigned.plan.apply(&mut edited), Ok(()));
        assert_eq!(edited.len(), self.bytes.len());
        for (place, (old, new)) in (0_u64..).zip(self.bytes.iter().zip(&edited)) {
            if old != new {
                let inside = place.checked_sub(self.image.base());
                let is_allowed = |inside| allowed.iter().any(|range| range.contains(&inside));
                let is_hash = self.hashes.iter().any(|range| range.contains(&place));
                assert!(inside.is_some_and(is_allowed) || is_hash, "{place:#x}");
            }
        }
        if let Some(after) = self.again(&edited) {
            signature_holds(&after, resigned);
        } else {
            // An edit may have broken the headers; of a signed image, that is refused.
            assert!(resigned.directories.is_empty());
        }
        let mut back = edited.clone();
        assert_eq!(resigned.plan.invert().apply(&mut back), Ok(()));
        assert_eq!(back, self.bytes);
        Some(edited)
    }

    /// The image in the edited file; `None` if an edit has broken its headers.
    fn again<'edited>(&self, edited: &'edited [u8]) -> Option<Image<'edited>> {
        let start = usize::try_from(self.image.base()).ok()?;
        let data = edited.get(start..)?.get(..self.image.data().len())?;
        Image::at(data, self.image.base()).ok()
    }
}

/// The file, and the load commands before and after.
type ChangedCommands = (Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>);

fn signature_holds(after: &Image<'_>, resigned: &Resigned) {
    let verification = after.verify_signature();
    match &verification {
        Ok(Some(verification)) => assert!(verification.bad_pages.is_empty(), "{verification:?}"),
        Ok(None) => assert!(resigned.directories.is_empty()),
        Err(error) => assert!(resigned.directories.is_empty(), "{error}"),
    }
    let signature = after.signature().ok().flatten();
    let hashes =
        signature.iter().flat_map(|it| it.directories.iter().map(crate::CodeDirectory::cd_hash));
    assert!(
        resigned.directories.is_empty()
            || hashes.eq(resigned.directories.iter().map(|directory| directory.cd_hash))
    );
    // Signing what is signed changes nothing.
    if let Ok(twice) = plan_edit_and_resign(after, &Plan::new()) {
        assert!(twice.plan.is_empty());
    }
}
