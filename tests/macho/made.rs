use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reloader_tests::tool;
use tempfile::TempDir;

/// A directory with everything that LLVM makes of [`GUEST`].
pub struct Workshop {
    pub directory: TempDir,
}

impl Workshop {
    /// Object files for every processor, libraries, bundles and programs for those that the linker
    /// knows, fat files of both kinds, and debugging information of its own. `None` if there is no
    /// LLVM.
    pub fn new() -> Option<Workshop> {
        for needed in ["clang-19", "ld64.lld-19", "llvm-lipo-19", "dsymutil-19", "yaml2obj-19"] {
            tool(needed)?;
        }
        let workshop = Workshop { directory: TempDir::with_prefix("macho-").unwrap() };
        workshop.write("guest.c", GUEST);
        for (arch, target) in TARGETS {
            let threads = if target.contains("macos11") { "-DTHREADS" } else { "-DNO_THREADS" };
            let target = format!("--target={target}");
            let object = format!("{arch}.o");
            let flags = [&target, threads, "-g", "-O1", "-fno-common", "-c", "guest.c", "-o"];
            workshop.run("clang-19", &[&flags[..], &[&object]].concat());
        }
        workshop.link("arm64", "-dylib", &["-fixup_chains"]);
        workshop.link("arm64", "-bundle", &["-no_fixup_chains"]);
        workshop.link("arm64", "-execute", &["-fixup_chains"]);
        workshop.link("arm64e", "-dylib", &["-no_fixup_chains"]);
        workshop.link("x86_64", "-dylib", &["-fixup_chains", "-adhoc_codesign"]);
        workshop.link("x86_64", "-bundle", &["-no_fixup_chains"]);
        workshop.link("x86_64", "-execute", &["-no_fixup_chains"]);
        let both = ["arm64-dylib", "x86_64-dylib", "-output"];
        workshop.run("llvm-lipo-19", &[&["-create"], &both[..], &["fat"]].concat());
        workshop.run("llvm-lipo-19", &[&["-fat64", "-create"], &both[..], &["fat64"]].concat());
        workshop.run("dsymutil-19", &["--flat", "arm64-dylib", "-o", "arm64-debug"]);
        workshop.write("powerpc.yaml", POWERPC);
        workshop.run("yaml2obj-19", &["powerpc.yaml", "-o", "powerpc.o"]);
        Some(workshop)
    }

    fn link(&self, arch: &str, kind: &str, flags: &[&str]) {
        let output = format!("{arch}{kind}");
        let object = format!("{arch}.o");
        let mut arguments = vec![kind, "-undefined", "dynamic_lookup", "-arch", arch];
        arguments.extend(["-platform_version", "macos", "11.0", "14.0", "-headerpad", "0x200"]);
        if kind == "-dylib" {
            arguments.extend(["-install_name", "@rpath/guest.dylib", "-rpath", "@loader_path"]);
        }
        arguments.extend(flags);
        arguments.extend([&object, "-o", &output]);
        self.run("ld64.lld-19", &arguments);
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    }

    /// Every image, with its path.
    pub fn images(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut images = Vec::new();
        for entry in fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let is_source = [Some(OsStr::new("c")), Some(OsStr::new("yaml"))];
            if path.is_file() && !is_source.contains(&path.extension()) {
                images.push((path.clone(), fs::read(path).unwrap()));
            }
        }
        images.sort();
        images
    }
}

/// What a program prints. `None` if there is no such program.
pub fn output(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let tool = tool(program)?;
    let output = Command::new(tool.0).args(arguments).arg(path).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} {}: {errors}", path.display());
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

const TARGETS: [(&str, &str); 5] = [
    ("arm64", "arm64-apple-macos11"),
    ("arm64e", "arm64e-apple-macos11"),
    ("x86_64", "x86_64-apple-macos11"),
    ("armv7", "armv7-apple-ios9"),
    ("i386", "i386-apple-macos10.14"),
];

/// A state section, variables of every kind, words that are addresses, an import and a constructor.
const GUEST: &str = r#"
__attribute__((section("__DATA,__state"))) int counter = 3;
__attribute__((section("__DATA,__state"))) long total = 4;
__attribute__((aligned(64))) int zeros[64];
static int hidden_zeros[9];
int *pointer = &counter;
extern int imported(int);
int (*function)(int) = imported;
static const char *const names[] = { "one", "two", "three" };
const char *chosen = "four";
#ifdef THREADS
__thread int each_thread = 5;
__thread int each_thread_zero[10];
#endif
__attribute__((constructor)) static void start(void) { hidden_zeros[1]++; }
int compute(int operation) {
    zeros[operation & 63]++;
    hidden_zeros[operation % 9]++;
#ifdef THREADS
    each_thread_zero[operation % 10]++;
    operation += each_thread;
#endif
    return *pointer + names[operation % 3][0] + imported(operation) + function(1) + zeros[1]
        + (int)total + chosen[0];
}
int main(void) { return compute(1); }
"#;

/// An object file in the other byte order, with the one unnamed segment that such files have.
const POWERPC: &str = "--- !mach-o
IsLittleEndian: false
FileHeader:
  magic:           0xFEEDFACE
  cputype:         0x00000012
  cpusubtype:      0x00000000
  filetype:        0x00000001
  ncmds:           1
  sizeofcmds:      192
  flags:           0x00002000
LoadCommands:
  - cmd:             LC_SEGMENT
    cmdsize:         192
    segname:         ''
    vmaddr:          0
    vmsize:          24
    fileoff:         220
    filesize:        16
    maxprot:         7
    initprot:        7
    nsects:          2
    flags:           0
    Sections:
      - sectname:        __data
        segname:         __DATA
        addr:            0x0
        size:            16
        offset:          220
        align:           2
        reloff:          0x0
        nreloc:          0
        flags:           0x0
        reserved1:       0x0
        reserved2:       0x0
        reserved3:       0x0
        content:         000102030405060708090A0B0C0D0E0F
      - sectname:        __common
        segname:         __DATA
        addr:            0x10
        size:            8
        offset:          0
        align:           2
        reloff:          0x0
        nreloc:          0
        flags:           0x1
        reserved1:       0x0
        reserved2:       0x0
        reserved3:       0x0
...
";
