use std::fs;
use std::path::{Path, PathBuf};

use reloader_tests::Package;

/// The packages with Mach-O images in them.
const PACKAGES: [Package; 15] = [
    // Thin, arm64.
    Package::wheel(
        "markupsafe",
        "3.0.2",
        "macosx_11_0_arm64",
        "93335ca3812df2f366e80509ae119189886b0f3c2b81325d39efdb84a1e2ae93",
    ),
    // Fat.
    Package::wheel(
        "markupsafe",
        "2.1.5",
        "macosx_10_9_universal2",
        "629ddd2ca402ae6dbedfceeba9c46d5f7b2a61d9749597d4307f943ef198fc1f",
    ),
    Package::wheel(
        "simplejson",
        "3.19.3",
        "macosx_10_9_universal2",
        "e88abff510dcff903a18d11c2a75f9964e768d99c8d147839913886144b2065e",
    ),
    // The old layout of __DATA.
    Package::wheel(
        "xxhash",
        "3.5.0",
        "macosx_10_9_x86_64",
        "02c2e816896dc6f85922ced60097bcf6f008dedfc5073dcba32f9c8dd786f3c1",
    ),
    // Fat, with a slice for i386.
    Package::wheel_for(
        "3.6",
        "cffi",
        "1.11.5",
        "macosx_10_6_intel",
        "3eb6434197633b7748cea30bf0ba9f66727cdce45117a712b29a443943733257",
    ),
    // Fat, thread-local storage, __common.
    Package::wheel(
        "greenlet",
        "3.1.1",
        "macosx_11_0_universal2",
        "e4d333e558953648ca09d64f13e6d8f0523fa705f51cae3f03b5983489958c70",
    ),
    Package::wheel(
        "kiwisolver",
        "1.4.7",
        "macosx_11_0_arm64",
        "46707a10836894b559e04b0fd143e343945c97fd170d69a2d26d640b4e297935",
    ),
    Package::wheel(
        "lz4",
        "4.3.3",
        "macosx_11_0_arm64",
        "2f7b1839f795315e480fb87d9bc60b186a98e3e5d17203c6e757611ef7dcef61",
    ),
    // The newest development kit of these.
    Package::wheel(
        "numpy",
        "2.2.0",
        "macosx_14_0_arm64",
        "0557eebc699c1c34cccdd8c3778c9294e8196df27d713706895edc6f57d29608",
    ),
    Package::npm(
        "fsevents",
        "2.3.3",
        "c77e7a5d5ff31dd7acea7c44d4a0455e0528cdacbd24a8cb6c82b66d239b587e",
    ),
    Package::npm(
        "@parcel/watcher-darwin-arm64",
        "2.5.1",
        "84b085b23acbc036904b2ae5457448dcac00d9c5b91904a58d214f00b73ded58",
    ),
    Package::npm(
        "@parcel/watcher-darwin-x64",
        "2.5.1",
        "5f494ff552f2c9a6a795248902b7d74382becec10d25d44c1f3d69a69da9b6c7",
    ),
    // Libraries of Rust, thread-local storage.
    Package::npm(
        "@rollup/rollup-darwin-arm64",
        "4.44.0",
        "357384d9065805849e03df9911effecdc3502f22baa80f7bfcbed5d22f848b06",
    ),
    Package::npm(
        "lightningcss-darwin-arm64",
        "1.30.1",
        "411c93c31a42e09f70ab7cf1b4822d51ce9225fa52f23dc9d421657a7c43d8f1",
    ),
    // A program of Go, without a UUID.
    Package::npm(
        "@esbuild/darwin-arm64",
        "0.25.5",
        "61a312bcb8249d058639c405cf6378dd3107de5535a9974973c48a6dd0d2d062",
    ),
];

/// Every Mach-O file of the packages that could be fetched, with its path.
pub fn samples() -> Vec<(PathBuf, Vec<u8>)> {
    let mut samples = Vec::new();
    for package in PACKAGES {
        let Some(root) = package.unpacked() else { continue };
        let before = samples.len();
        collect(&root, &mut samples);
        assert!(samples.len() > before, "{} has no Mach-O file", package.name());
    }
    samples.sort();
    samples
}

/// Those that are not large: what is done with each byte of an image takes too long for the others
/// in a build without optimisation. `WHOLE_CORPUS=1` takes them too.
pub fn small_samples() -> Vec<(PathBuf, Vec<u8>)> {
    let mut samples = samples();
    if std::env::var_os("WHOLE_CORPUS").is_none() {
        samples.retain(|(_, bytes)| bytes.len() < 1 << 20);
    }
    samples
}

fn collect(directory: &Path, samples: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            collect(&path, samples);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            let starts = [b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe"];
            if starts.iter().any(|start| bytes.starts_with(*start)) {
                samples.push((path, bytes));
            }
        }
    }
}
