use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use build_info::pdb::read;
use build_info::{BuildInfo, Kind, Provenance, Questions, Quoting};

use crate::corpus::{OLDER_REGISTRY, REGISTRY};

/// What MSBuild wrote down in UTF-16: for each source (or set of inputs) the lines about it.
fn log(path: &Path) -> BTreeMap<String, Vec<String>> {
    let bytes = fs::read(path).unwrap();
    let words: Vec<u16> =
        bytes[2..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&words).unwrap();
    let (mut log, mut of) = (BTreeMap::<String, Vec<String>>::new(), String::new());
    for line in text.lines() {
        match line.strip_prefix('^') {
            Some(source) => of = source.to_uppercase(),
            None => log.entry(of.clone()).or_default().push(line.to_owned()),
        }
    }
    log
}

/// A file of the directory whose name begins and ends so.
fn named(directory: &Path, start: &str, end: &str) -> std::path::PathBuf {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(start) && name.ends_with(end)
    };
    names.into_iter().find(is_it).unwrap()
}

/// An absolute path in capitals, as the logs have them.
fn absolute(cwd: &str, path: &str) -> String {
    let joined =
        if path.get(1..2) == Some(":") { path.to_owned() } else { format!("{cwd}\\{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split(['\\', '/']) {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("\\").to_uppercase()
}

/// The options that decide what is compiled: in one spelling, the last definition of each name, and
/// without where the output goes and what is compiled.
fn options(arguments: &[String], cwd: &str, source: &str) -> BTreeSet<String> {
    let (mut found, mut defines) = (BTreeSet::new(), BTreeMap::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let option = argument.strip_prefix(['/', '-']);
        let Some(option) = option.filter(|_| absolute(cwd, argument) != source) else { continue };
        match option.split_at_checked(1) {
            Some(("D", "")) => {
                let define = arguments.next().unwrap();
                let name = define.split('=').next().unwrap();
                defines.insert(name.to_uppercase(), define.clone());
            }
            Some(("D", define)) => {
                let name = define.split('=').next().unwrap();
                defines.insert(name.to_uppercase(), define.to_owned());
            }
            Some(("I", directory)) => drop(found.insert(format!("I{}", absolute(cwd, directory)))),
            Some(("F", _)) => {}
            _ => drop(found.insert(option.to_owned())),
        }
    }
    found.extend(defines.into_keys().map(|name| format!("D{name}")));
    found
}

fn check(root: &Path) -> (BuildInfo, usize, usize) {
    let build = root.join("build/Release");
    let logs = build.join("obj/registry/registry.tlog");
    let file = File::open(build.join("registry.pdb")).unwrap();
    let info = read(&file, &Questions::ALL).unwrap();
    let commands = log(&logs.join("CL.command.1.tlog"));
    let reads = log(&logs.join("CL.read.1.tlog"));
    let written: BTreeSet<String> =
        log(&named(&logs, "CL.", ".write.1.tlog")).into_values().flatten().collect();
    let (mut listed, mut unlisted, mut objects, mut sources) = (0, 0, BTreeSet::new(), 0);
    for (id, unit) in info.units.iter().enumerate().filter(|(_, it)| it.kind == Kind::Source) {
        let cwd = &unit.cwd.as_ref().unwrap().value;
        let source = absolute(cwd, &unit.source.as_ref().unwrap().value);
        // The command, by the words that Windows makes of it.
        let logged = &commands[&source][0];
        let logged = options(&Quoting::Windows.split(logged).arguments, cwd, &source);
        let command = unit.command.as_ref().unwrap().value.arguments();
        let command = options(&command, cwd, &source);
        let missing: Vec<_> = logged.difference(&command).collect();
        assert!(missing.is_empty(), "{source}: {missing:?}");
        for more in command.difference(&logged) {
            // What the compiler adds: where its own headers are, and how it was started.
            let is_added = more.starts_with('I') || ["MP", "X", "TP"].contains(&more.as_str());
            assert!(is_added || more.starts_with("errorreport"), "{source}: {more}");
        }
        // The object, by either name.
        objects.insert(unit.object.as_ref().unwrap().value.to_uppercase());
        assert_eq!(unit.module.to_uppercase(), unit.object.as_ref().unwrap().value.to_uppercase());
        // The files: the source, and of the headers those that it lists were really read.
        let read: BTreeSet<String> = reads[&source].iter().map(|it| it.to_uppercase()).collect();
        for one in &unit.files {
            let path = absolute(cwd, &info.files[one.file.0 as usize].path);
            assert_eq!(one.provenance, Provenance::LineTable);
            assert!(info.files[one.file.0 as usize].units.iter().any(|it| it.0 as usize == id));
            if path == source {
                sources += 1;
            } else if read.contains(&path) {
                listed += 1;
            } else {
                unlisted += 1;
            }
        }
    }
    assert_eq!(objects, written);
    assert_eq!((objects.len(), sources, commands.len()), (2, 2, 2));
    let linked = log(&named(&logs, "link.write.1", ".tlog")).into_values().flatten();
    let linked: BTreeSet<String> = linked.map(|it| it.to_uppercase()).collect();
    let pdb = info.linker.as_ref().unwrap().pdb.as_ref().unwrap().value.to_uppercase();
    assert!(linked.contains(&pdb), "{linked:?}");
    (info, listed, unlisted)
}

#[test]
fn every_source_command_and_object_is_what_the_build_of_2015_wrote_down() {
    let Some(root) = REGISTRY.unpacked() else { return };
    let (_, listed, unlisted) = check(&root);
    // Of some 350 that were read, which is why they are said to be a lower bound; and a few that the
    // log does not know.
    assert_eq!((listed, unlisted), (78, 7));
}

#[test]
fn every_source_command_and_object_is_what_the_build_of_2017_wrote_down() {
    let Some(root) = OLDER_REGISTRY.unpacked() else { return };
    let (_, listed, unlisted) = check(&root);
    assert_eq!((listed, unlisted), (88, 0));
}
