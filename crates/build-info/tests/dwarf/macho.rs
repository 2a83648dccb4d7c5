//! Mach-O, made here by clang and lld: the debug map, its objects and the dSYM.

use std::path::{Path, PathBuf};

use build_info::{BuildInfo, Identity, Provenance, Questions};

use crate::workshop::{Workshop, files, read, unit};

/// A library of two objects, the second in an archive.
fn library(workshop: &Workshop, target: &str, options: &str) -> Option<PathBuf> {
    for (source, object) in [("main.cc", "main.o"), ("src/part.cc", "part.o")] {
        workshop.run(&format!(
            "clang++-19 -target {target}-apple-macos12 -g {options} -Iinclude -c {source} -o {object}"
        ))?;
    }
    workshop.run("llvm-ar-19 rc libpart.a part.o")?;
    workshop.run(&format!(
        "ld64.lld-19 -arch {target} -platform_version macos 12 12 -dylib -undefined dynamic_lookup \
         main.o libpart.a -o library"
    ))?;
    Some(workshop.at("library"))
}

/// The address of a function, and the source of whom it is.
#[track_caller]
fn owner(info: &BuildInfo, image: &Path, name: &str) -> String {
    let image = std::fs::read(image).expect("an image");
    let [address] = build_info::macho::symbol(&image, name).expect("symbols")[..] else {
        panic!("one {name}")
    };
    let owner = *info.owners(address).owner().expect("an owner");
    let source = &info.units[owner.unit.0 as usize].source;
    source.as_ref().expect("a source").value.clone()
}

#[test]
fn the_objects_of_the_debug_map_are_read() {
    let workshop = Workshop::new();
    for target in ["arm64", "x86_64"] {
        let Some(image) = library(&workshop, target, "-grecord-command-line") else { return };
        let info = read(&image);
        assert_eq!(info.remarks, [""; 0]);
        assert!(matches!(info.identity, Some(Identity::Uuid(_))));
        let (main, part) = (unit(&info, "main.cc"), unit(&info, "part.cc"));
        assert_eq!(info.units.len(), 2);
        assert!(info.units[main].module.ends_with("/main.o"));
        assert_eq!(info.units[part].module, "part.o");
        assert!(info.units[part].archive.as_ref().expect("an archive").ends_with("/libpart.a"));
        assert_eq!(files(&info, part), ["inner.h", "macros.h", "part.cc", "shared.h"]);
        assert!(info.units[part].command.is_some());
        assert_eq!(owner(&info, &image, "main"), "main.cc");
        assert_eq!(owner(&info, &image, "__Z4parti"), "src/part.cc");
        assert_eq!(owner(&info, &image, "_Z4sameIiET_S0_"), "main.cc");
    }
}

#[test]
fn a_dsym_says_what_the_objects_do() {
    let workshop = Workshop::new();
    let Some(image) = library(&workshop, "arm64", "") else { return };
    let objects = read(&image);
    if workshop.run("dsymutil-19 library -o library.dSYM").is_none() {
        return;
    }
    for object in ["main.o", "part.o", "libpart.a"] {
        std::fs::remove_file(workshop.at(object)).expect("an object");
    }
    let info = read(&image);
    let facts = |info: &BuildInfo| -> Vec<_> {
        let each = info.units.iter().enumerate();
        each.map(|(number, unit)| {
            let files: Vec<String> = files(info, number).into_iter().map(str::to_owned).collect();
            (unit.source.clone(), unit.module.clone(), unit.size, files)
        })
        .collect()
    };
    assert_eq!(facts(&info), facts(&objects));
    // The dSYM itself says the same, but for the modules.
    let inside = workshop.at("library.dSYM/Contents/Resources/DWARF/library");
    let inside = if inside.is_file() { inside } else { workshop.at("library.dSYM") };
    let alone = read(&inside);
    assert_eq!(alone.contributions, info.contributions);
    assert_eq!(alone.identity, info.identity);
}

#[test]
fn without_the_objects_the_debug_map_alone_is_read() {
    let workshop = Workshop::new();
    let Some(image) = library(&workshop, "arm64", "") else { return };
    let sizes: Vec<u64> = read(&image).units.iter().map(|unit| unit.size).collect();
    std::fs::remove_file(workshop.at("main.o")).expect("an object");
    std::fs::remove_file(workshop.at("libpart.a")).expect("an archive");
    let info = read(&image);
    assert_eq!(info.units.iter().map(|unit| unit.size).collect::<Vec<_>>(), sizes);
    let source = info.units[0].source.as_ref().expect("a source");
    assert!(source.value.ends_with("/main.cc"));
    assert_eq!(source.provenance, Provenance::Derived);
    assert!(info.remarks[0].starts_with("2 objects that were linked are not there"));
}

#[test]
fn one_architecture_of_several_is_read() {
    let workshop = Workshop::new();
    let Some(image) = library(&workshop, "x86_64", "") else { return };
    std::fs::rename(&image, workshop.at("x86")).expect("a move");
    let Some(_) = library(&workshop, "arm64", "") else { return };
    if workshop.run("llvm-lipo-19 -create x86 library -output fat").is_none() {
        return;
    }
    let info = read(&workshop.at("fat"));
    assert!(info.units.iter().all(|unit| unit.target.as_deref() == Some("x86_64")));
    assert!(info.remarks[0].contains("of 2 architectures"));
    let fat = std::fs::read(workshop.at("fat")).expect("an image");
    assert_eq!(build_info::macho::symbol(&fat, "main").expect("symbols").len(), 1);
    assert!(build_info::identity(&fat).expect("an identity").is_some());
    // Cut short within the one, it says so.
    let offset = fat[16..20].first_chunk().copied().map_or(0, u32::from_be_bytes) as usize;
    let cut = build_info::read(&fat[..offset + 64], &Questions::ALL).expect_err("cut short");
    assert!(cut.is_incomplete());
}
