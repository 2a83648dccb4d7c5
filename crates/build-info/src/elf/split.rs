//! Split units: `.dwo` files beside the objects, and packages of them (`.dwp`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::image::Image;
use crate::companion::{Companion, Companions};
use crate::dwarf::{PackageIndex, Reading, Skeleton, Split, names};
use crate::{Error, ReadAt};

/// Completes the units whose tree is in another file, as far as those are found.
pub(crate) fn complete(
    image: &Image<'_>,
    companions: &dyn Companions,
    reading: &mut Reading<'_, '_>,
) {
    let skeletons = std::mem::take(&mut reading.skeletons);
    if skeletons.is_empty() {
        return;
    }
    let package = companions
        .places(&Companion::SplitPackage)
        .into_iter()
        .find_map(|place| companions.open(&place));
    let mut package = package.as_ref().and_then(|opened| {
        Package::read(&*opened.source)
            .map_err(|error| reading.remark(format!("the package of split units: {error}")))
            .ok()
    });
    let mut alone = Vec::new();
    for skeleton in &skeletons {
        match package.as_mut().map_or(Ok(false), |one| one.complete(skeleton, reading)) {
            Ok(true) => {}
            Ok(false) => alone.push(Wanted::new(skeleton, companions)),
            Err(error) => reading.remark(format!("{}: {error}", skeleton.name)),
        }
    }
    let missing = complete_alone(image, companions, alone, reading);
    if let Some(first) = missing.first() {
        reading.remark(format!(
            "{} units are described in other files, which are not found: {first}{}",
            missing.len(),
            if missing.len() > 1 { " and others" } else { "" },
        ));
    }
}

/// A unit that is described in a file of its own, and where that may still be.
struct Wanted<'s> {
    skeleton: &'s Skeleton,
    places: std::vec::IntoIter<PathBuf>,
}

impl<'s> Wanted<'s> {
    fn new(skeleton: &'s Skeleton, companions: &dyn Companions) -> Self {
        let (directory, name) = (skeleton.directory.clone(), skeleton.name.clone());
        let places = companions.places(&Companion::SplitUnit { directory, name });
        Self { skeleton, places: places.into_iter() }
    }
}

/// Completes units from files of their own; says which of these are not found.
///
/// A file that several units name, in whatever ways, is opened once for all of them: what may be
/// taken from it is counted from there on.
fn complete_alone<'s>(
    image: &Image<'_>,
    companions: &dyn Companions,
    mut wanted: Vec<Wanted<'s>>,
    reading: &mut Reading<'_, '_>,
) -> Vec<&'s str> {
    let mut missing = Vec::new();
    while !wanted.is_empty() {
        let mut files: Vec<(PathBuf, Vec<Wanted<'s>>)> = Vec::new();
        let mut numbers = HashMap::new();
        for mut one in wanted {
            let Some(place) = one.places.next() else {
                missing.push(one.skeleton.name.as_str());
                continue;
            };
            let real = std::fs::canonicalize(&place).unwrap_or_else(|_| place.clone());
            let number = *numbers.entry(real).or_insert_with(|| {
                files.push((place, Vec::new()));
                files.len().saturating_sub(1)
            });
            if let Some((_, units)) = files.get_mut(number) {
                units.push(one);
            }
        }
        wanted = Vec::new();
        for (place, units) in files {
            complete_from(image, companions, &place, units, reading, &mut wanted);
        }
    }
    missing
}

/// Completes units from one file; those that are not in it are `left`.
fn complete_from<'s>(
    image: &Image<'_>,
    companions: &dyn Companions,
    place: &Path,
    units: Vec<Wanted<'s>>,
    reading: &mut Reading<'_, '_>,
    left: &mut Vec<Wanted<'s>>,
) {
    let Some(opened) = companions.open(place) else { return left.extend(units) };
    let mut split = match open(image, &*opened.source) {
        Ok(Some(split)) => split,
        Ok(None) => return left.extend(units),
        Err(error) => return reading.remark(format!("{}: {error}", place.display())),
    };
    for one in units {
        match reading.complete(one.skeleton, &mut split, None) {
            Ok(true) => {}
            Ok(false) => {
                reading.remark(format!("{} is of another build", place.display()));
                left.push(one);
            }
            Err(error) => reading.remark(format!("{}: {error}", one.skeleton.name)),
        }
    }
}

/// The debug information of a split file, if it is for the same order of bytes.
fn open<'a>(image: &Image<'_>, source: &'a dyn ReadAt) -> Result<Option<Split<'a>>, Error> {
    let split = Image::read(source)?;
    if split.endian != image.endian {
        return Ok(None);
    }
    let length = split.source.length().unwrap_or(0);
    names::SPLIT.of(|name| split.section(name), split.endian, length).map(Split::new).map(Some)
}

/// A package of split units.
struct Package<'a> {
    split: Split<'a>,
    index: PackageIndex<'a>,
}

impl<'a> Package<'a> {
    fn read(source: &'a dyn ReadAt) -> Result<Self, Error> {
        let image = Image::read(source)?;
        let length = source.length().unwrap_or(0);
        let dwarf = names::SPLIT.of(|name| image.section(name), image.endian, length)?;
        let index = PackageIndex::read(image.section(".debug_cu_index")?, image.endian)?;
        Ok(Self { split: Split::new(dwarf), index })
    }

    fn complete(
        &mut self,
        skeleton: &Skeleton,
        reading: &mut Reading<'_, '_>,
    ) -> Result<bool, Error> {
        let Some(id) = skeleton.id else { return Ok(false) };
        match self.index.find(id)? {
            Some(parts) => reading.complete(skeleton, &mut self.split, Some(parts)),
            None => Ok(false),
        }
    }
}
