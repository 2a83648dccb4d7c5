use std::fs::File;

use build_info::{BuildInfo, Claim, elf};
use reloader_tests::{FUNCTIONS, Project, SHARED, System, Toolchain, tool};

use crate::ground::{CLANG, GCC};
use crate::reading::{alone, source_of};

/// Each with whether it leaves the address of the winner in the loser's debug information.
const LINKERS: [(&str, &str, bool); 4] = [
    ("ld.bfd", "-fuse-ld=bfd", true),
    ("ld.gold", "-fuse-ld=gold", true),
    ("ld.lld", "-fuse-ld=lld", false),
    ("mold", "-fuse-ld=mold", false),
];

#[test]
fn every_function_has_its_owner_with_four_linkers() {
    for toolchain in [GCC, CLANG] {
        for (linker, option, claims_twice) in LINKERS {
            if tool(linker).is_none() {
                continue;
            }
            let link = [option];
            let toolchain = Toolchain { link: &link, ..toolchain };
            let Some(project) = Project::build(System::Ninja, &toolchain) else { continue };
            let info = alone(&project.image);
            let label = format!("{} {linker}", toolchain.cxx);
            for (function, source) in FUNCTIONS {
                let (owner, claim, losers) = owner_of(&info, &project, function);
                assert_eq!(owner, source, "{label} {function}");
                assert_eq!((claim, losers), (Claim::Sole, Vec::new()), "{label} {function}");
            }
            for function in SHARED {
                let (owner, claim, losers) = owner_of(&info, &project, function);
                assert_eq!(owner, "src/main.cpp", "{label} {function}");
                let is_claimed_twice = claims_twice && function == "shared_same";
                let (expected, others) = match is_claimed_twice {
                    true => (Claim::First, vec!["src/plain.cpp".to_owned()]),
                    false => (Claim::Sole, Vec::new()),
                };
                assert_eq!((claim, losers), (expected, others), "{label} {function}");
            }
        }
    }
}

/// The source that a function is from, what its claim is worth, and the losers' sources.
pub fn owner_of(
    info: &BuildInfo,
    project: &Project,
    function: &str,
) -> (String, Claim, Vec<String>) {
    let image = File::open(&project.image).unwrap();
    let addresses = elf::symbol(&image, function).unwrap();
    let [address] = *addresses else { panic!("{function}: {addresses:?}") };
    let owners = info.owners(address);
    let owner = owners.owner().unwrap_or_else(|| panic!("{function} at {address:#x}"));
    let losers = owners.contributions.iter().filter(|one| one.claim == Claim::Loser);
    let losers = losers.map(|one| source_of(info, project, one.unit.0)).collect();
    (source_of(info, project, owner.unit.0), owner.claim, losers)
}
