//! What an update costs through `cr.h`, measured by a C program beside what cr does for one.
//!
//! The program is `update.c`; it is compiled here against the library that cargo has just built.
#![allow(missing_docs, reason = "a benchmark")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // `cargo test --benches` only wants to know that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { "41" } else { "1" };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = std::env::current_exe().unwrap();
    let library = |extension: &str| {
        built.parent().unwrap().join("libreloader_capi").with_extension(extension)
    };
    let workshop = tempfile::tempdir().unwrap();
    // Under the name that it has for programs.
    let installed = workshop.path().join("libreloader.so.0");
    std::fs::copy(library("so"), &installed).unwrap();
    let source = workshop.path().join("guest.c");
    let guest = workshop.path().join("libguest.so");
    let host = workshop.path().join("update");
    std::fs::write(&source, EMPTY).unwrap();
    let compile = |arguments: &[&Path]| {
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-O2", "-pthread", "-I"]).arg(here.join("include"));
        cc.arg("-o").args(arguments);
        assert!(cc.status().unwrap().success(), "{cc:?}");
    };
    compile(&[&guest, &source, "-shared".as_ref(), "-fPIC".as_ref()]);
    for (how, library) in [("shared", &installed), ("static", &library("a"))] {
        let mut inputs = vec![host.clone(), here.join("benches/update.c"), library.clone()];
        inputs.extend(["-lgcc_s", "-lutil", "-lrt", "-lm", "-ldl"].map(PathBuf::from));
        compile(&inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        println!("an update of an empty guest, {how} library, median of {rounds} rounds:");
        let mut run = Command::new(&host);
        run.arg(&guest).arg(rounds).env("LD_LIBRARY_PATH", workshop.path());
        assert!(run.status().unwrap().success(), "{run:?}");
    }
}

const EMPTY: &str = "#include \"cr.h\"\n\
    CR_EXPORT int cr_main(struct cr_plugin *c, enum cr_op o) { (void)c; (void)o; return 0; }";
