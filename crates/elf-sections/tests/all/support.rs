use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A scratch directory with the guests that a test compiles.
pub struct Workshop {
    directory: TempDir,
}

impl Workshop {
    pub fn new() -> Workshop {
        Workshop { directory: TempDir::with_prefix("elf-sections-").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// Runs a compiler on a source. `None`, and a line about it, if there is no such tool.
    pub fn compile(&self, name: &str, source: &str, command: &[&str]) -> Option<PathBuf> {
        let (&tool, arguments) = command.split_first().unwrap();
        let linker = arguments.iter().find_map(|it| it.strip_prefix("-fuse-ld="));
        if !has(tool) || !linker.is_none_or(|linker| has(&format!("ld.{linker}"))) {
            skipped(&format!("{command:?}"));
            return None;
        }
        let extension = if tool.contains("++") { "cpp" } else { "c" };
        let source = self.write(&format!("{name}.{extension}"), source);
        let output = self.path(name);
        let result = Command::new(tool)
            .args(arguments)
            .args([source.as_os_str(), OsStr::new("-o"), output.as_os_str()])
            .output()
            .unwrap();
        assert!(
            result.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&result.stderr)
        );
        Some(output)
    }

    /// A shared object of [`GUEST`] that needs no other library, and its bytes.
    pub fn guest(&self, name: &str, command: &[&str]) -> Option<Vec<u8>> {
        let command: Vec<&str> = command.iter().copied().chain(BARE).collect();
        Some(std::fs::read(self.compile(name, GUEST, &command)?).unwrap())
    }
}

/// The guests of every compiler and linker there is, with what each was made by.
pub fn guests(workshop: &Workshop, flags: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut guests = Vec::new();
    for compiler in ["gcc", "clang"] {
        for linker in ["bfd", "gold", "lld", "mold"] {
            let linker = format!("-fuse-ld={linker}");
            let command: Vec<&str> =
                [compiler, &linker].into_iter().chain(flags.iter().copied()).collect();
            let name = command.join(" ");
            if let Some(bytes) = workshop.guest(&name.replace([' ', '/'], "_"), &command) {
                guests.push((name, bytes));
            }
        }
    }
    println!("{} guests", guests.len());
    guests
}

/// What a command prints, or `None`, and a line about it, if there is no such tool.
pub fn output(tool: &str, arguments: &[&OsStr]) -> Option<String> {
    if !has(tool) {
        skipped(tool);
        return None;
    }
    let output = Command::new(tool).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn has(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(tool).is_file())
}

/// Says that a part of a test was left out, or fails where `REQUIRE_TOOLS` is set.
pub fn skipped(what: &str) {
    assert!(
        std::env::var_os("REQUIRE_TOOLS").is_none(),
        "REQUIRE_TOOLS is set and there is no {what}"
    );
    eprintln!("skipped: there is no {what}");
}

/// Says how many cases a test went through, of those that there are where no tool is missing.
pub fn went_through(count: usize, least: usize, what: &str) {
    println!("{count} {what}");
    let may_miss = std::env::var_os("REQUIRE_TOOLS").is_none();
    assert!(count >= least || may_miss, "only {count} {what}, {least} wanted");
}

/// The inputs of both fuzz targets.
pub fn regressions() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions");
    let mut inputs: Vec<(String, Vec<u8>)> = ["elf_parse", "elf_plan"]
        .iter()
        .filter_map(|target| std::fs::read_dir(directory.join(target)).ok())
        .flatten()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(inputs.len() > 10, "{}", inputs.len());
    inputs
}

/// No libraries, so that loading one costs little and depends on nothing.
const BARE: [&str; 5] = ["-shared", "-fPIC", "-O1", "-nostdlib", "-Wl,--build-id"];

/// A state section, zeros of a strict alignment, pointers to be relocated, a symbol that weakly
/// depends on others, thread-local storage and a constructor.
pub const GUEST: &str = r#"
__attribute__((section(".state"))) int counter = 3;
__attribute__((section(".state"))) long total = 4;
__attribute__((aligned(64))) int zeros[64];
int *pointer = &counter;
static const char *names[] = { "one", "two", "three" };
__thread int each_thread = 5;
__thread int each_thread_zero[1000];
extern int imported(int) __attribute__((weak));
static int constructed;
__attribute__((constructor)) static void start(void) { constructed++; }
__attribute__((destructor)) static void stop(void) { constructed--; }
__attribute__((visibility("hidden"))) int hidden(void) { return 1; }
int is_constructed(void) { return constructed; }
int cr_main(void *context, int operation) {
    zeros[operation & 63]++;
    each_thread_zero[operation & 63]++;
    if (imported) return imported(operation);
    return *pointer + names[operation & 1][0] + each_thread + zeros[1] + (int)total;
}
"#;
