//! Whose an address is: what several units claim, what was thrown away, what was generated at link
//! time.

use build_info::{BuildInfo, Claim, Flag, Kind};

use crate::workshop::{Workshop, read, unit};

/// The units that claim where a symbol is, the owner first.
#[track_caller]
fn owners(info: &BuildInfo, workshop: &Workshop, name: &str) -> Vec<usize> {
    let image = std::fs::read(workshop.at("image")).expect("an image");
    let addresses = build_info::elf::symbol(&image, name).expect("symbols");
    let [address] = addresses[..] else { panic!("{name} is at {addresses:x?}") };
    let owners = info.owners(address);
    if let Some(first) = owners.contributions.first() {
        assert_ne!(first.claim, Claim::Loser);
    }
    owners.contributions.iter().map(|one| one.unit.0 as usize).collect()
}

#[test]
fn the_first_unit_that_was_linked_has_what_several_have() {
    let workshop = Workshop::new();
    for compiler in ["g++", "clang++-14"] {
        for linker in ["bfd", "gold", "lld", "mold"] {
            for sections in ["", "-ffunction-sections"] {
                let options = format!("-g {sections} -DIN_MAIN");
                let link = format!("-fuse-ld={linker}");
                let Some(image) = workshop.build(compiler, &options, &link) else { continue };
                let info = read(&image);
                let (main, part) = (unit(&info, "main.cc"), unit(&info, "part.cc"));
                let told = format!("{compiler} {linker} {sections}");
                let own = |name| owners(&info, &workshop, name);
                assert_eq!(own("main"), [main], "{told}");
                assert_eq!(own("_Z4parti"), [part], "{told}");
                assert_eq!(own("plain"), [unit(&info, "plain.c")], "{told}");
                // The code of the copies is the same: the two GNU linkers let the loser claim it.
                let same = own("_Z4sameIiET_S0_");
                assert_eq!(same[0], main, "{told}");
                match linker {
                    "bfd" | "gold" => assert_eq!(same, [main, part], "{told}"),
                    _ => assert_eq!(same, [main], "{told}"),
                }
                // It is not the same: the loser claims nothing, or a small address.
                assert_eq!(own("_Z6differi"), [main], "{told}");
                let total: u64 = info
                    .contributions
                    .iter()
                    .filter(|one| one.claim != Claim::Loser)
                    .map(|one| u64::from(one.size))
                    .sum();
                assert_eq!(info.units.iter().map(|unit| unit.size).sum::<u64>(), total);
            }
        }
    }
}

#[test]
fn what_gcc_generates_at_link_time_belongs_to_the_units_it_was_compiled_in() {
    let workshop = Workshop::new();
    workshop.write("src/kept.c", "__attribute__((noinline, used)) int kept(int x) { return x; }");
    let compiled = workshop.run("gcc -g -O2 -flto -c src/kept.c -o kept.o");
    if compiled.is_none() {
        return;
    }
    let Some(image) = workshop.build("g++", "-g -O2 -flto", "-g -O2 -flto kept.o") else { return };
    let info = read(&image);
    let kept = unit(&info, "kept.c");
    assert_eq!(owners(&info, &workshop, "main"), [unit(&info, "main.cc")]);
    assert_eq!(owners(&info, &workshop, "kept"), [kept]);
    assert!(info.units[kept].flags.contains(&Flag::Ltcg));
    assert!(info.units.iter().any(|unit| unit.kind == Kind::LinkTimeCode));
}

#[test]
fn sources_are_known_by_their_names_where_there_is_nothing_else() {
    let workshop = Workshop::new();
    let Some(image) = workshop.build("g++", "-O0", "") else { return };
    let info = read(&image);
    let plain = unit(&info, "plain.c");
    assert!(info.units[plain].flags.contains(&Flag::NoDebugInfo));
    assert_eq!(info.units[plain].source.as_ref().expect("a source").value, "plain.c");
    let image = std::fs::read(image).expect("an image");
    let [twice] = build_info::elf::symbol(&image, "twice").expect("symbols")[..] else {
        panic!("one symbol")
    };
    let owners = info.owners(twice);
    assert_eq!(owners.owner().map(|one| one.unit.0 as usize), Some(plain));
    assert!(info.remarks[0].contains("no debug information"));
}
