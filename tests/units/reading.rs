use std::fs::File;
use std::path::Path;

use build_info::around::Surroundings;
use build_info::{BuildInfo, Kind, Nearby, Questions, Resolve, System};
use reloader_tests::Project;

/// What an image says by itself, its paths canonical.
pub fn alone(image: &Path) -> BuildInfo {
    let file = File::open(image).unwrap();
    let mut info = build_info::read_with(&file, &Questions::ALL, &Nearby::of(image)).unwrap();
    info.resolve(&Resolve::new());
    info
}

/// The same, filled with what lies in a directory.
pub fn around(image: &Path, directory: &Path) -> BuildInfo {
    let file = File::open(image).unwrap();
    let mut info = build_info::read_with(&file, &Questions::ALL, &Nearby::of(image)).unwrap();
    let resolve = Resolve::new();
    let mut around = Surroundings::find(directory.to_str().unwrap(), &System);
    around.image = image.to_str().map(str::to_owned);
    info.fill(&around, &resolve);
    info.resolve(&resolve);
    info
}

/// The project's sources, ascending, whose units were made from a file.
pub fn sources_of(info: &BuildInfo, project: &Project, path: &Path) -> Vec<String> {
    let affected = info.affected(&[path.to_str().unwrap()]);
    // What is generated when all is linked is nobody's to compile.
    let compiled =
        affected.units.iter().filter(|id| info.units[id.0 as usize].kind == Kind::Source);
    let mut sources: Vec<String> = compiled.map(|unit| source_of(info, project, unit.0)).collect();
    sources.sort();
    sources
}

/// A unit's source below the project's root.
pub fn source_of(info: &BuildInfo, project: &Project, unit: u32) -> String {
    let unit = &info.units[unit as usize];
    let cwd = unit.cwd.as_ref().map_or("", |fact| &fact.value);
    let path = Path::new(cwd).join(unit.name());
    let path = path.canonicalize().unwrap_or(path);
    path.strip_prefix(&project.root).unwrap_or(&path).to_str().unwrap().to_owned()
}
