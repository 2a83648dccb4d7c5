//! Split units: `.dwo` files beside the objects, and packages of them (`.dwp`).

use super::image::Image;
use crate::companion::{Companion, Companions};
use crate::dwarf::{Dwarf, Parts, Reading, Section, Skeleton, names};
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
    let mut missing = Vec::new();
    for skeleton in &skeletons {
        let packaged = package.as_mut().map_or(Ok(false), |one| one.complete(skeleton, reading));
        let done = match packaged {
            Ok(false) => alone(image, companions, skeleton, reading),
            other => other,
        };
        match done {
            Ok(true) => {}
            Ok(false) => missing.push(skeleton.name.as_str()),
            Err(error) => reading.remark(format!("{}: {error}", skeleton.name)),
        }
    }
    if let Some(first) = missing.first() {
        reading.remark(format!(
            "{} units are described in other files, which are not found: {first}{}",
            missing.len(),
            if missing.len() > 1 { " and others" } else { "" },
        ));
    }
}

/// Completes a unit from a file of its own.
fn alone(
    image: &Image<'_>,
    companions: &dyn Companions,
    skeleton: &Skeleton,
    reading: &mut Reading<'_, '_>,
) -> Result<bool, Error> {
    let wanted =
        Companion::SplitUnit { directory: skeleton.directory.clone(), name: skeleton.name.clone() };
    for place in companions.places(&wanted) {
        let Some(opened) = companions.open(&place) else { continue };
        let split = Image::read(&*opened.source)?;
        if split.endian != image.endian {
            continue;
        }
        let length = split.source.length().unwrap_or(0);
        let mut dwarf = names::SPLIT.of(|name| split.section(name), split.endian, length)?;
        if reading.complete(skeleton, &mut dwarf, Parts::default())? {
            return Ok(true);
        }
        reading.remark(format!("{} is of another build", place.display()));
    }
    Ok(false)
}

/// A package of split units.
struct Package<'a> {
    dwarf: Dwarf<'a>,
    index: Section<'a>,
}

impl<'a> Package<'a> {
    fn read(source: &'a dyn ReadAt) -> Result<Self, Error> {
        let image = Image::read(source)?;
        let length = source.length().unwrap_or(0);
        let dwarf = names::SPLIT.of(|name| image.section(name), image.endian, length)?;
        Ok(Self { dwarf, index: image.section(".debug_cu_index")? })
    }

    fn complete(
        &mut self,
        skeleton: &Skeleton,
        reading: &mut Reading<'_, '_>,
    ) -> Result<bool, Error> {
        let Some(id) = skeleton.id else { return Ok(false) };
        let parts = Parts::find(&mut self.index, id, self.dwarf.endian)?;
        parts.map_or(Ok(false), |parts| reading.complete(skeleton, &mut self.dwarf, parts))
    }
}
