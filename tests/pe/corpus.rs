//! Real images, out of the packages that ship them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use reloader_tests::Package;

/// The packages with PE images in them.
pub const PACKAGES: [Package; 9] = [
    Package::wheel(
        "debugpy",
        "1.8.22",
        "win_amd64",
        "1e76339d5510bc17e9181dba9577508afcb21aad5728f1a55ef74d7d97d255f3",
    ),
    Package::wheel(
        "clr_loader",
        "0.2.7.post0",
        "any",
        "e0b9fcc107d48347a4311a28ffe3ae78c4968edb216ffb6564cb03f7ace0bb47",
    ),
    Package::wheel(
        "pythonnet",
        "3.0.5",
        "any",
        "f6702d694d5d5b163c9f3f5cc34e0bed8d6857150237fae411fefb883a656d20",
    ),
    Package::npm(
        "node-pty",
        "1.1.0",
        "c7517f19083ddcb05f276904680eb2b11a6b5ecab778b8e4e5685a6d645b3f60",
    ),
    Package::npm(
        "@rollup/rollup-win32-x64-msvc",
        "4.67.4",
        "6e1015ad0414fd2aa9bf47eac979415a83f67a72fc4f5f926ee02c221a6991a7",
    ),
    Package::npm(
        "@rollup/rollup-win32-arm64-msvc",
        "4.67.4",
        "9765d972da39944932ac34e99e5ef617d488e56bff5eb82dff3af619c30aa7e2",
    ),
    Package::npm(
        "@rollup/rollup-win32-ia32-msvc",
        "4.67.4",
        "3d053a51686bc91f1cef0ac4e2a0a0b8dffc3eb5075752faa68c3508b7dcec88",
    ),
    // C++/CLI: native and .NET code in one image.
    Package::npm(
        "edge-js",
        "26.1.0",
        "411bafe66d7a067e2d695b1f10d764f4717e3f0fff7d80b8c5b587b3abb60688",
    ),
    Package::crates(
        "pelite",
        "0.10.0",
        "88dccf4bd32294364aeb7bd55d749604450e9db54605887551f21baea7617685",
    ),
];

/// The paths of all images in the packages, each image once.
pub fn images() -> Vec<PathBuf> {
    let mut images = Vec::new();
    let mut seen = HashSet::new();
    for root in PACKAGES.iter().filter_map(Package::unpacked) {
        let mut found = Vec::new();
        walk(&root, &mut found);
        found.sort();
        images.extend(found.into_iter().filter(|path| {
            let bytes = fs::read(path).unwrap();
            // Packages for Windows have libraries for other systems in them too.
            bytes.starts_with(b"MZ") && seen.insert(bytes)
        }));
    }
    images
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|it| EXTENSIONS.iter().any(|known| it == *known)) {
            found.push(path);
        }
    }
}

const EXTENSIONS: [&str; 4] = ["dll", "exe", "node", "pyd"];
