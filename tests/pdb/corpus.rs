use std::fs;
use std::path::{Path, PathBuf};

use reloader_tests::Package;

/// With `main.obj` and the logs of the build beside the PDB; Visual Studio 2015.
pub const REGISTRY: Package = Package::npm(
    "registry-js",
    "1.10.0",
    "e39ee942ed1c0f0196008faf4990f08d0fea73e56a7235f390ed2faf6ae074ad",
);
/// The same by Visual Studio 2017.
pub const OLDER_REGISTRY: Package = Package::npm(
    "registry-js",
    "1.9.0",
    "e4a033adcfce89829deebde96704809d8a479852434af1a29b1cd6ecc69f655e",
);
/// Visual Studio 2022, x64 and ARM64, link-time code generation.
pub const NODE_PTY: Package = Package::npm(
    "node-pty",
    "1.1.0",
    "c7517f19083ddcb05f276904680eb2b11a6b5ecab778b8e4e5685a6d645b3f60",
);
/// Visual Studio 2022, x64 and x86.
pub const DEBUGPY: Package = Package::wheel(
    "debugpy",
    "1.8.22",
    "win_amd64",
    "1e76339d5510bc17e9181dba9577508afcb21aad5728f1a55ef74d7d97d255f3",
);

/// The PDBs of all packages that could be fetched.
pub fn pdbs() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for package in [REGISTRY, OLDER_REGISTRY, NODE_PTY, DEBUGPY] {
        let Some(root) = package.unpacked() else { continue };
        let before = found.len();
        collect(&root, &mut found);
        assert!(found.len() > before, "{} has no PDB", package.name());
    }
    found.sort();
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|it| it == "pdb") && is_msf(&path) {
            found.push(path);
        }
    }
}

/// Not a pointer of git's to where the PDB is.
fn is_msf(path: &Path) -> bool {
    fs::read(path).unwrap().starts_with(b"Microsoft C/C++ MSF 7.00")
}
