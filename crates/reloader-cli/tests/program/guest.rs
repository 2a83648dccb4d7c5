use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

/// A library in a directory of its own.
pub struct Guest {
    directory: TempDir,
    source: RefCell<String>,
}

impl Guest {
    /// A library whose step is this C; nothing if there is no compiler, which is said.
    pub fn with_step(step: &str) -> Option<Self> {
        if !has_compiler() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let guest = Self { directory, source: RefCell::default() };
        guest.build(step);
        Some(guest)
    }

    /// A library that counts its steps.
    pub fn counting() -> Option<Self> {
        Self::with_step("counter += 1;")
    }

    /// Builds the library anew with another step, and puts it in its place in one go.
    pub fn build(&self, step: &str) {
        let source = SOURCE
            .replace("@STEP@", step)
            .replace("@MARK@", self.mark().to_str().expect("temporary paths are UTF-8"));
        fs::write(self.source_file(), &source).unwrap();
        self.source.replace(source);
        let unfinished = self.directory.path().join("unfinished");
        let output = Command::new("cc")
            .args(["-g", "-shared", "-fPIC", "-fno-omit-frame-pointer", "-I", HEADERS, "-o"])
            .arg(&unfinished)
            .arg(self.source_file())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(unfinished, self.library()).unwrap();
    }

    /// Puts something that is no library in its place.
    pub fn spoil(&self) {
        let unfinished = self.directory.path().join("unfinished");
        fs::write(&unfinished, "This is no library.\n").unwrap();
        fs::rename(unfinished, self.library()).unwrap();
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn library(&self) -> PathBuf {
        self.directory.path().join("libguest.so")
    }

    pub fn source_file(&self) -> PathBuf {
        self.directory.path().join("guest.c")
    }

    /// The file with the counter that the library writes when it is closed.
    pub fn mark(&self) -> PathBuf {
        self.directory.path().join("closed")
    }

    /// The line of the source, from 1, that `text` stands in.
    pub fn line_of(&self, text: &str) -> u64 {
        let source = self.source.borrow();
        let index = source.lines().position(|line| line.contains(text)).unwrap();
        index as u64 + 1
    }
}

/// Whether `cc` is there; if not, it is said, and an error where tools are required.
pub fn has_compiler() -> bool {
    let found = Command::new("cc").arg("--version").output().is_ok();
    assert!(found || env::var_os("REQUIRE_TOOLS").is_none(), "cc is required and missing");
    if !found {
        eprintln!("skipped: there is no cc");
    }
    found
}

const HEADERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../reloader-guest/include");

const SOURCE: &str = r#"
#include <stdio.h>
#include "reloader_guest.h"

static int CR_STATE counter = 0;

static int step(void)
{
    @STEP@
    return counter;
}

static int leave(void)
{
    FILE *mark = fopen("@MARK@", "w");
    fprintf(mark, "%d", counter);
    return fclose(mark);
}

CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
{
    (void)ctx;
    switch (operation) {
    case CR_STEP:
        return step();
    case CR_CLOSE:
        return leave();
    default:
        return 0;
    }
}
"#;
