//! What is known of a build before any of its code runs.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use elf_sections::{
    Changes, Expected, Image, LoadCopyOptions, Routines, Verdict, plan_changes, plan_load_copy,
    verdict,
};

use super::{Digest, Loading, Unready, dependencies};
use crate::contract::STATE_SECTION;
use crate::event::RefusalKind;
use crate::stage::Staged;
use crate::state::StateMap;
use crate::sys::{self, Registration};

/// A copy that was checked and edited.
pub(super) struct Checked {
    pub(super) range: Range<u64>,
    /// What stays writable once it is loaded.
    pub(super) writable: Vec<Range<u64>>,
    pub(super) state: StateMap,
    pub(super) initializers: Routines,
    pub(super) finalizers: Routines,
    pub(super) unique: Vec<String>,
    /// Where the image imports the functions that register destructors.
    pub(super) registrations: Vec<(Vec<u64>, Registration)>,
    pub(super) dependencies: Vec<(Vec<u8>, PathBuf)>,
}

impl Checked {
    /// Checks the copy and makes the edits that let it load beside its predecessors.
    pub(super) fn of(staged: &Staged, file: File, loading: &Loading<'_>) -> Result<Self, Unready> {
        let identity = staged.identity();
        let refused = |kind, reason: String| Unready::Refused(kind, reason, Some(identity));
        let unwritable = |error: &dyn std::fmt::Display| {
            let path = staged.path().display();
            let reason = format!("the private copy {path} cannot be edited: {error}");
            Unready::NoPlace(reason, Some(identity))
        };
        let mut bytes = sys::map(&file).map_err(|error| unwritable(&error))?;
        let expected = Expected { entry: Some(&loading.options.entry), ..Expected::native() };
        let mut image = match verdict(&bytes, &expected) {
            Verdict::Complete(image) => image,
            Verdict::Incomplete(reason) => {
                return Err(Unready::Incomplete(reason.to_string(), identity));
            }
            Verdict::Unloadable(reason) => {
                return Err(refused(RefusalKind::BadImage, reason.to_string()));
            }
        };
        if let Some(reason) = impossible(&image) {
            return Err(refused(RefusalKind::BadImage, reason));
        }
        let finalizers = image.finalizers();
        let ends = || !image.imports("__cxa_atexit").is_empty() || ends_itself(&image, &finalizers);
        let bss = loading.options.untagged_bss && !(loading.options.fresh_objects && ends());
        // Before any edit: what the build consists of may count.
        let state = StateMap::of(&image, bss);
        let replace_needed = loading.neighbours.replacements(&image);
        let runpath = dependencies::search_path(&image, loading.source);
        let hands_down = runpath.is_some() && dependencies::hands_path_down(&image);
        let changes = Changes { replace_needed, runpath, ..Changes::default() };
        if changes != Changes::default() {
            let plan = plan_changes(&image, &changes)
                .map_err(|error| refused(RefusalKind::BadImage, error.to_string()))?;
            drop(image);
            drop(bytes);
            plan.apply_to_file(&file, staged.path()).map_err(|error| unwritable(&error))?;
            bytes = sys::map(&file).map_err(|error| unwritable(&error))?;
            image = Image::parse(&bytes)
                .map_err(|error| refused(RefusalKind::BadImage, error.to_string()))?;
        }
        let options = LoadCopyOptions { defer_initializers: true, ..LoadCopyOptions::default() };
        let mut copy = plan_load_copy(&image, &options)
            .map_err(|error| refused(RefusalKind::BadImage, error.to_string()))?;
        if hands_down {
            dependencies::plan_to_hand_path_down(&image)
                .and_then(|plan| copy.plan.merge(&plan).map(drop))
                .map_err(|error| refused(RefusalKind::BadImage, error.to_string()))?;
        }
        let checked = Self {
            range: image.range().unwrap_or(0..0),
            writable: writable(&image),
            state,
            initializers: copy.initializers,
            finalizers: copy.finalizers,
            unique: copy.unique_symbols,
            registrations: Registration::ALL
                .into_iter()
                .map(|(name, registration)| (image.imports(name), registration))
                .collect(),
            dependencies: dependencies::of(&image, loading.source),
        };
        // The copy is changed through the file: no mapping of it may be left.
        drop(image);
        drop(bytes);
        copy.plan.apply_to_file(&file, staged.path()).map_err(|error| unwritable(&error))?;
        drop(file);
        let known = Digest::matches(staged.path(), loading.known_bad);
        if known && !loading.options.retry_known_bad {
            let reason = "this build failed before, and its bytes are the same".to_owned();
            return Err(refused(RefusalKind::KnownBad, reason));
        }
        Ok(checked)
    }
}

/// Whether it has functions of its own for its end, besides the start-up code's: they destroy
/// objects where the compiler was told to register none (`-fno-use-cxa-atexit`), or are what C calls
/// destructors.
fn ends_itself(image: &Image<'_>, finalizers: &Routines) -> bool {
    let array = finalizers.array.as_ref().map_or(0, |array| array.end.saturating_sub(array.start));
    // The start-up code has one entry there, and nobody else calls this.
    let startup = u64::from(!image.imports("__cxa_finalize").is_empty());
    let is_startup = |function| image.sections_named(".fini").any(|fini| fini.address == function);
    array / image.header().class.word_size() > startup
        || finalizers.function.is_some_and(|function| !is_startup(function))
}

/// What the loader does not check and the program would not survive.
fn impossible(image: &Image<'_>) -> Option<String> {
    // Each thread gets its own when it first touches it, and ends the program where there is no
    // room.
    let thread_local = image.tls().map_or(0, |segment| segment.memory_size);
    if thread_local > LARGEST_THREAD_LOCAL {
        return Some(format!(
            "each thread would need {thread_local:#x} bytes for thread-local variables"
        ));
    }
    let state = STATE_SECTION.as_bytes();
    let outside = image.sections().iter().find(|section| {
        section.name == state
            && section.flags.is_allocated()
            && !image
                .segments()
                .iter()
                .any(|segment| segment.is_load() && segment.contains(section.address, section.size))
    })?;
    Some(format!("its state section at {:#x} lies in no segment", outside.address))
}

/// The most that a thread's own variables may take.
const LARGEST_THREAD_LOCAL: u64 = 1 << 30;

/// The writable segments without what the loader protects.
fn writable(image: &Image<'_>) -> Vec<Range<u64>> {
    let relro = image.relro().unwrap_or(0..0);
    image
        .segments()
        .iter()
        .filter(|segment| segment.is_load() && segment.permissions.is_writable())
        .map(elf_sections::Segment::range)
        .map(|range| {
            let covered = relro.contains(&range.start);
            if covered { relro.end.min(range.end)..range.end } else { range }
        })
        .filter(|range| !range.is_empty())
        .collect()
}
