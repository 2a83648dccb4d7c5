//! The objects that a debug map names, and what their debug information says.

use std::collections::HashMap;

use super::code;
use object::macho::CpuType;

use super::image::Image;
use super::slice::Slice;
use super::symbols::{self, Object};
use crate::companion::{Companion, Companions};
use crate::dwarf::{Claimed, Files, Reading, names, settle};
use crate::{BuildInfo, Error, Fact, Flag, Provenance, Questions, ReadAt, Unit, UnitId};

/// Reads what the debug map of an image says, and the objects that it names as far as they are
/// there.
pub(crate) fn read(
    image: &Image<'_>,
    questions: Questions,
    companions: &dyn Companions,
    info: &mut BuildInfo,
) -> Result<(), Error> {
    let objects = symbols::debug_map(image)?;
    if objects.is_empty() {
        info.remarks.push("no debug information and no debug map".to_owned());
        return Ok(());
    }
    let mut files = Files::new(image.source.length().unwrap_or(0));
    let mut claims = Vec::new();
    let (mut missing, mut first_missing) = (0_u32, "");
    // Objects are asked for their units and files; the addresses in them are not the image's.
    let asked = Questions { contributions: false, ..questions };
    for object in &objects {
        let before = info.units.len();
        let unit = UnitId(u32::try_from(before).unwrap_or(u32::MAX));
        match describe(object, image.cpu, asked, companions, &mut files, info) {
            Ok(true) => {}
            Ok(false) => {
                missing = missing.saturating_add(1);
                first_missing = if missing == 1 { &object.path } else { first_missing };
            }
            Err(error) => info.remarks.push(format!("{}: {error}", object.path)),
        }
        if info.units.len() == before {
            info.units.push(alone(image, object));
            if questions.files {
                note(unit, object, &mut files, info);
            }
        }
        for unit in info.units.get_mut(before..).unwrap_or_default() {
            name_module(unit, object);
        }
        let functions = object.functions.iter();
        claims.extend(functions.map(|&(begin, end)| Claimed { begin, end, unit }));
    }
    if missing > 0 {
        info.remarks.push(format!(
            "{missing} objects that were linked are not there, or are not as they were: \
             {first_missing}{}",
            if missing > 1 { " and others" } else { "" }
        ));
    }
    (info.files, info.checksums) = files.finish();
    if questions.contributions {
        settle(info, claims, code(image));
    }
    Ok(())
}

/// Gives the units of a dSYM, which does not name them, the modules that the image's debug map names
/// for their sources.
pub(crate) fn name_modules(image: &Image<'_>, info: &mut BuildInfo) -> Result<(), Error> {
    let objects = symbols::debug_map(image)?;
    let by_source: HashMap<&str, &Object> =
        objects.iter().map(|object| (object.source.as_str(), object)).collect();
    for unit in &mut info.units {
        let Some(source) = &unit.source else { continue };
        let cwd = unit.cwd.as_ref().map_or("", |cwd| cwd.value.as_str());
        let joined = format!("{cwd}/{}", source.value);
        let object = by_source.get(source.value.as_str()).or_else(|| by_source.get(&*joined));
        if let Some(object) = object {
            name_module(unit, object);
        }
    }
    Ok(())
}

fn name_module(unit: &mut Unit, object: &Object) {
    let (archive, module) = parts(&object.path);
    unit.module = module.to_owned();
    unit.archive = archive.map(str::to_owned);
    unit.object = Some(Fact::recorded(object.path.clone()));
}

/// Reads what an object's debug information says. Says whether it was there.
fn describe(
    object: &Object,
    cpu: CpuType,
    questions: Questions,
    companions: &dyn Companions,
    files: &mut Files,
    info: &mut BuildInfo,
) -> Result<bool, Error> {
    let (archive, module) = parts(&object.path);
    let wanted = Companion::Object(archive.unwrap_or(module).to_owned());
    for place in companions.places(&wanted) {
        let Some(opened) = companions.open(&place) else { continue };
        let mut source: &dyn ReadAt = &*opened.source;
        let mut modified = opened.modified;
        let member;
        if archive.is_some() {
            let Some(found) = Slice::member(source, module.as_bytes()) else { continue };
            (member, modified) = found;
            source = &member;
        }
        // Builds that are meant to be repeatable leave the time out.
        if object.modified != 0 && modified.is_some_and(|when| when != object.modified) {
            continue;
        }
        let thin = Slice::thin(source, Some(cpu), &mut Vec::new())?;
        let image = Image::read(&thin)?;
        if image.cpu != cpu {
            continue;
        }
        let length = thin.length().unwrap_or(0);
        files.allow(length);
        let mut dwarf = names::WHOLE.of(|name| image.section(name), image.endian, length)?;
        Reading::new(&mut dwarf, info, questions, image.target(), files).units()?;
        return Ok(true);
    }
    Ok(false)
}

/// What the debug map alone says of an object's unit.
fn alone(image: &Image<'_>, object: &Object) -> Unit {
    Unit {
        source: Some(Fact { value: object.source.clone(), provenance: Provenance::Derived }),
        target: image.target().map(str::to_owned),
        flags: vec![Flag::NoDebugInfo],
        ..Unit::default()
    }
}

fn note(id: UnitId, object: &Object, files: &mut Files, info: &mut BuildInfo) {
    let Some(unit) = info.units.last_mut() else { return };
    let Ok(file) = files.file(None, object.source.as_bytes()) else { return };
    let noted = files.note(id, &mut unit.files, file, None, Provenance::Derived);
    if noted.is_err() {
        info.remarks.push(format!("{}: more files than the image can name", object.path));
    }
}

/// The archive, if there is one, and the object: "libx.a(y.o)".
fn parts(path: &str) -> (Option<&str>, &str) {
    match path.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        Some((archive, member)) => (Some(archive), member),
        None => (None, path),
    }
}
