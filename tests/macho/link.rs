use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use macho_sections::{FileKind, FixupTarget, Image};
use reloader_tests::{missing, tool};

/// A program that asks for the loaded images is compiled for macOS and linked by LLVM's linker
/// against stubs: nothing else can show here that the part which only macOS runs is whole.
#[test]
fn a_program_that_asks_for_loaded_images_links_for_macos() {
    let Some(linker) = tool("ld64.lld-19") else { return };
    let Some(cargo) = tool("cargo") else { return };
    if !has_standard_library("aarch64-apple-darwin") {
        return missing("the standard library for aarch64-apple-darwin is missing");
    }
    let directory = tempfile::tempdir().unwrap();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = format!(
        "[package]\nname = \"asks\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nmacho-sections = {{ path = \"{}\" }}\n[workspace]\n",
        workspace.join("crates/macho-sections").display()
    );
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("Cargo.toml", &manifest);
    fs::copy(workspace.join("Cargo.lock"), directory.path().join("Cargo.lock")).unwrap();
    fs::create_dir(directory.path().join("src")).unwrap();
    write("src/main.rs", PROGRAM);
    for library in ["System", "iconv", "c", "m"] {
        write(&format!("lib{library}.tbd"), &STUB.replace("NAME", library));
    }
    let target = target_directory();
    let output = Command::new(cargo.0)
        .args([
            "rustc",
            "--offline",
            "--target=aarch64-apple-darwin",
            "--",
            "-Clinker-flavor=ld64.lld",
        ])
        .arg(format!("-Clinker={}", linker.0.display()))
        .arg(format!("-Clink-arg=-L{}", directory.path().display()))
        .args(["-Clink-arg=-undefined", "-Clink-arg=dynamic_lookup"])
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let bytes = fs::read(target.join("aarch64-apple-darwin/debug/asks")).unwrap();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.header().kind, FileKind::EXECUTE);
    assert!(image.verify_signature().unwrap().unwrap().is_good());
    assert_eq!(image.writable().unread, None);
    let imports = |wanted: &[u8]| {
        image.fixups().any(|fixup| match fixup.unwrap().target {
            FixupTarget::Symbol { name, .. } => name == wanted,
            _ => false,
        })
    };
    for wanted in [
        &b"__dyld_register_func_for_add_image"[..],
        b"__dyld_register_func_for_remove_image",
        b"_dladdr",
    ] {
        assert!(imports(wanted), "{}", String::from_utf8_lossy(wanted));
    }
}

fn has_standard_library(target: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
}

/// Beside the profiles, so that the standard crates are compiled once.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("macos")
}

const PROGRAM: &str = r#"
fn main() {
    for module in macho_sections::sys::modules().iter() {
        println!("{} {:?}", module.path.display(), module.section("__DATA", "__state"));
    }
}
"#;

/// A library whose symbols are looked for at load.
const STUB: &str = "--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '/usr/lib/libNAME.dylib'
exports:
  - targets: [ arm64-macos ]
    symbols: [ dyld_stub_binder ]
...
";
