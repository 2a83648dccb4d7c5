//! Several changes of names at once.

use std::path::PathBuf;

use elf_sections::oracle::elf_plan;
use elf_sections::{Changes, Error, Image, Structure, plan_changes};

use crate::support::{Workshop, has, went_through};

/// A library that needs three others and exports a symbol that is called like one of them, by every
/// linker there is.
fn guests(workshop: &Workshop) -> Vec<Vec<u8>> {
    let names = ["liba.so.1", "libb.so.1", "libc.so.1"];
    let mut needed = Vec::new();
    for name in names {
        let source = format!("int {}(void) {{ return 1; }}", &name[..4]);
        let soname = format!("-Wl,-soname,{name}");
        let command = ["gcc", "-shared", "-fPIC", "-nostdlib", &soname];
        let Some(path) = workshop.compile(name, &source, &command) else { return Vec::new() };
        needed.push(path);
    }
    let source = "int liba(void), libb(void), libc(void);\n\
                  int all(void) { return liba() + libb() + libc(); }";
    let mut guests = Vec::new();
    for linker in ["bfd", "gold", "lld", "mold"] {
        let linker = format!("-fuse-ld={linker}");
        let libraries: Vec<&str> = needed.iter().map(|it: &PathBuf| it.to_str().unwrap()).collect();
        let command: Vec<&str> =
            ["gcc", "-shared", "-fPIC", "-nostdlib", &linker, "-Wl,-soname,libown.so"]
                .into_iter()
                .chain(["-Wl,--no-as-needed"])
                .chain(libraries)
                .collect();
        let name = format!("libown{linker}.so");
        guests.extend(
            workshop.compile(&name, source, &command).map(|path| std::fs::read(path).unwrap()),
        );
    }
    let linkers = ["bfd", "gold", "lld", "mold"].iter().filter(|it| has(&format!("ld.{it}")));
    assert_eq!(guests.len(), linkers.count());
    guests
}

#[test]
fn names_that_others_had_before_are_given_to_the_right_ones() {
    let workshop = Workshop::new();
    let guests = guests(&workshop);
    went_through(guests.len(), 4, "guests");
    for bytes in guests {
        let image = Image::parse(&bytes).unwrap();
        let old: Vec<&[u8]> = image.needed().collect();
        assert_eq!(old, [b"liba.so.1", b"libb.so.1", b"libc.so.1"]);
        for soname in [None, Some("liba.so.1"), Some("a.so.1"), Some("libx.so.1")] {
            for new in [
                ["libb.so.1", "libc.so.1", "libc.so.1"],
                ["libb.so.1", "libc.so.1", "liba.so.1"],
                ["libb.so.1", "liba.so.1", "libc.so.1"],
                ["libx.so.1", "libb.so.1", "libc.so.1"],
                ["x", "b.so.1", "so.1"],
                ["libx.so.1", "liba.so.1", "libx.so.1"],
            ] {
                for added in [None, Some("liba.so.1"), Some("libc.so.1")] {
                    let replace = old.iter().zip(new).filter(|(old, new)| *old != &new.as_bytes());
                    let changes = Changes {
                        soname: soname.map(|it| it.as_bytes().to_vec()),
                        replace_needed: replace
                            .map(|(old, new)| (old.to_vec(), new.into()))
                            .collect(),
                        add_needed: added.map(Into::into).into_iter().collect(),
                        ..Changes::default()
                    };
                    let mut changed = bytes.clone();
                    let plan = plan_changes(&image, &changes).unwrap();
                    plan.apply_to_vec(&mut changed).unwrap();
                    let changed = Image::parse(&changed).unwrap();
                    let wanted = new.into_iter().chain(added).map(str::as_bytes);
                    assert!(changed.needed().eq(wanted), "{changes:?}");
                    let soname = soname.unwrap_or("libown.so");
                    assert_eq!(changed.soname(), Some(soname.as_bytes()), "{changes:?}");
                    let symbols = |image: &Image<'_>| -> Vec<Vec<u8>> {
                        image.dynamic_symbols().map(|it| it.name.to_vec()).collect()
                    };
                    assert_eq!(symbols(&changed), symbols(&image), "{changes:?}");
                }
            }
        }
        // What the bytes choose, for many builds.
        let mut bytes = bytes.clone();
        for last in 0..64 {
            bytes.push(last);
            elf_plan(&bytes);
        }
    }
}

/// glibc asserts that a program that relocates itself has no run path, and such a program looks for
/// its tables where it was linked to.
#[test]
fn what_a_program_that_relocates_itself_would_not_start_with_is_refused() {
    let workshop = Workshop::new();
    let source = "#include <stdio.h>\nint main(void) { return puts(\"started\") < 0; }";
    let command = ["gcc", "-static-pie", "-fPIE", "-Wl,-z,separate-code"];
    let Some(path) = workshop.compile("static", source, &command) else { return };
    let bytes = std::fs::read(&path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let runpath = Changes { runpath: Some(b"/lib".to_vec()), ..Changes::default() };
    let structure = Structure::RunPath;
    assert_eq!(plan_changes(&image, &runpath).err(), Some(Error::SelfRelocating { structure }));

    // Whatever else is planned, the program starts.
    let mut results = Vec::new();
    for length in [1, 100, 10_000] {
        for (names, added) in [(1, 0), (0, 1), (0, 60)] {
            let name = vec![b'n'; length];
            let changes = Changes {
                soname: (names == 1).then(|| name.clone()),
                add_needed: vec![name; added],
                ..Changes::default()
            };
            let mut changed = bytes.clone();
            match plan_changes(&image, &changes) {
                Ok(plan) => plan.apply_to_vec(&mut changed).unwrap(),
                Err(Error::SelfRelocating { .. }) => {
                    results.push(false);
                    continue;
                }
                Err(error) => unreachable!("{error}"),
            }
            std::fs::write(&path, changed).unwrap();
            let output = std::process::Command::new(&path).output().unwrap();
            assert_eq!(output.stdout, b"started\n", "{length} {names} {added} {}", output.status);
            results.push(true);
        }
    }
    assert!(results.contains(&false), "{results:?}");
}
