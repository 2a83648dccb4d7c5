//! Images made here, by the compilers and linkers of several houses.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use reloader_tests::{Package, tool, tool_of};

/// How one image is made: the file that comes out, and the command lines that lead to it.
struct Recipe {
    image: &'static str,
    steps: &'static [&'static str],
}

/// The paths of all images that the tools of this machine can make; beside each lies its PDB.
pub fn images() -> Vec<PathBuf> {
    let makers = [lld(), mingw(), zig()];
    makers.into_iter().flatten().flatten().collect()
}

/// One of them, by the name of its file; `None` if its maker is missing.
pub fn image(name: &str) -> Option<PathBuf> {
    let made = match name.split('-').next() {
        Some("lld") => lld(),
        Some("mingw") => mingw(),
        _ => zig(),
    };
    let found = made?.into_iter().find(|path| path.file_name() == Some(name.as_ref()));
    Some(found.unwrap_or_else(|| panic!("no recipe for {name}")))
}

/// What clang and lld-link make: every machine, and every option that changes what lies around the
/// record.
fn lld() -> Option<Vec<PathBuf>> {
    let (clang, link) = (tool_of(&CLANG)?, tool_of(&LLD_LINK)?);
    let tools = [("CLANG", clang.0.as_path()), ("LINK", link.0.as_path())];
    Some(made("lld", LLD, &tools))
}

/// What MinGW's gcc makes: images with symbol tables behind their sections.
fn mingw() -> Option<Vec<PathBuf>> {
    let (x64, x86) = (tool("x86_64-w64-mingw32-gcc")?, tool("i686-w64-mingw32-gcc")?);
    Some(made("mingw", MINGW, &[("X64", &x64.0), ("X86", &x86.0)]))
}

/// What zig makes, and the newer lld-link in it: images whose other face the loader puts on by
/// dynamic relocations.
fn zig() -> Option<Vec<PathBuf>> {
    let zig = ZIG.unpacked()?.join("ziglang/zig");
    let clang = tool_of(&CLANG)?;
    Some(made("zig", ZIG_RECIPES, &[("ZIG", &zig), ("CLANG", &clang.0)]))
}

/// A directory beside the test's program with what a maker made, kept for later runs.
fn made(maker: &str, recipes: &[Recipe], tools: &[(&str, &Path)]) -> Vec<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hasher = DefaultHasher::new();
    (tools, include_str!("made.rs")).hash(&mut hasher);
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = root.join(format!("pe-{maker}-{:016x}", hasher.finish()));
    if !place.exists() {
        let unfinished = tempfile::tempdir_in(root).unwrap();
        fs::write(unfinished.path().join("guest.c"), SOURCE).unwrap();
        fs::write(unfinished.path().join("ec.c"), EC).unwrap();
        fs::write(unfinished.path().join("load.c"), LOAD).unwrap();
        for step in recipes.iter().flat_map(|recipe| recipe.steps) {
            run(unfinished.path(), step, tools);
        }
        // Another process may have been faster; what it made is as good.
        if fs::rename(unfinished.path(), &place).is_ok() {
            let _gone = unfinished.keep();
        }
    }
    recipes.iter().map(|recipe| place.join(recipe.image)).collect()
}

fn run(directory: &Path, step: &str, tools: &[(&str, &Path)]) {
    let mut words = step.split_whitespace();
    let program = words.next().unwrap();
    let (_, path) = tools.iter().find(|(name, _)| *name == program).unwrap();
    let mut command = Command::new(path);
    // In its directory, so that paths in the images do not depend on where that is.
    command.current_dir(directory).args(words.map(|word| word.replace("LONG", &"x".repeat(400))));
    command.env("ZIG_GLOBAL_CACHE_DIR", directory.join("zig-cache"));
    if program == "ZIG" {
        // The archive's own modes are not kept in a wheel that is merely unpacked.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).unwrap();
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

const CLANG: [&str; 4] = ["clang-19", "clang-20", "clang-18", "clang"];
const LLD_LINK: [&str; 4] = ["lld-link-19", "lld-link-20", "lld-link-18", "lld-link"];

const ZIG: Package = Package::wheel(
    "ziglang",
    "0.15.2",
    "manylinux2010_x86_64",
    "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130",
);

/// Needs no library, exports two functions and has one that only debug information knows.
const SOURCE: &str = r#"
#ifdef ZIG
unsigned _tls_index;
#endif
#ifdef MINGW
#define ENTRY DllMain
#else
int _fltused;
#define ENTRY _DllMainCRTStartup
#endif
int data[4] = {1, 2, 3, 4};
const char ro[] = "read only";
__attribute__((noinline)) static int hidden_helper(int x) { return x * 3 + data[x & 3]; }
__declspec(dllexport) int twice(int x) { return hidden_helper(x) * 2 + ro[0]; }
__declspec(dllexport) void *hidden(void) { return (void *)hidden_helper; }
int __stdcall ENTRY(void *module, unsigned reason, void *reserved) { return 1; }
#ifdef PROGRAM
int start(void) { return twice(5) - 100; }
#endif
#ifdef MINGW
int main(void) { return twice(5) - 100; }
#endif
"#;

/// What an ARM64EC image wants of its run-time library.
const EC: &str = "void *__os_arm64x_dispatch_ret, *__os_arm64x_dispatch_call_no_redirect, \
                  *__os_arm64x_check_icall, *__os_arm64x_check_call;";

/// A load configuration, in which the linker enters where its dynamic relocations are.
const LOAD: &str = r#"__attribute__((section(".rdata"), used))
struct { unsigned size; char rest[0x13c]; } _load_config_used = {0x140};"#;

const LLD: &[Recipe] = &[
    Recipe {
        image: "lld-x64.dll",
        steps: &[
            "CLANG --target=x86_64-pc-windows-msvc -g -gcodeview -O1 -w -c guest.c -o x64.obj",
            "LINK /dll /debug /nodefaultlib /machine:x64 /out:lld-x64.dll x64.obj",
        ],
    },
    Recipe {
        image: "lld-x86.dll",
        steps: &[
            "CLANG --target=i686-pc-windows-msvc -g -gcodeview -O1 -w -c guest.c -o x86.obj",
            "LINK /dll /debug /nodefaultlib /machine:x86 /safeseh:no /noentry /out:lld-x86.dll x86.obj",
        ],
    },
    Recipe {
        image: "lld-arm64.dll",
        steps: &[
            "CLANG --target=aarch64-pc-windows-msvc -g -gcodeview -O1 -w -c guest.c -o arm64.obj",
            "LINK /dll /debug /nodefaultlib /machine:arm64 /out:lld-arm64.dll arm64.obj",
        ],
    },
    Recipe {
        image: "lld-arm.dll",
        steps: &[
            "CLANG --target=thumbv7-pc-windows-msvc -g -gcodeview -O1 -w -c guest.c -o arm.obj",
            "LINK /dll /debug /nodefaultlib /machine:arm /out:lld-arm.dll arm.obj",
        ],
    },
    Recipe {
        image: "lld-arm64ec.dll",
        steps: &[
            "CLANG --target=arm64ec-pc-windows-msvc -g -gcodeview -O1 -w -c guest.c -o arm64ec.obj",
            "CLANG --target=arm64ec-pc-windows-msvc -O1 -w -c ec.c -o ec.obj",
            "LINK /dll /debug /nodefaultlib /machine:arm64ec /noentry /out:lld-arm64ec.dll arm64ec.obj ec.obj",
        ],
    },
    Recipe {
        image: "lld-arm64x.dll",
        steps: &[
            "CLANG --target=aarch64-pc-windows-msvc -g -gcodeview -O1 -w -Ddata=data_n -Dro=ro_n -D_fltused=f_n \
             -Dtwice=twice_n -Dhidden=hidden_n -D_DllMainCRTStartup=entry_n -c guest.c -o native.obj",
            "LINK /dll /debug /nodefaultlib /machine:arm64x /noentry /out:lld-arm64x.dll native.obj arm64ec.obj ec.obj",
        ],
    },
    // The debug directory in .text.
    Recipe {
        image: "lld-merged.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /merge:.rdata=.text /out:lld-merged.dll x64.obj",
        ],
    },
    // A REPRO entry.
    Recipe {
        image: "lld-brepro.dll",
        steps: &["LINK /dll /debug /nodefaultlib /machine:x64 /Brepro /out:lld-brepro.dll x64.obj"],
    },
    // A checksum.
    Recipe {
        image: "lld-checksum.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /release /out:lld-checksum.dll x64.obj",
        ],
    },
    Recipe {
        image: "lld-align4k.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /filealign:4096 /out:lld-align4k.dll x64.obj",
        ],
    },
    // Offsets are addresses.
    Recipe {
        image: "lld-lowalign.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /filealign:16 /align:16 /driver /out:lld-lowalign.dll x64.obj",
        ],
    },
    Recipe {
        image: "lld-altname.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /pdbaltpath:%_PDB% /out:lld-altname.dll x64.obj",
        ],
    },
    Recipe {
        image: "lld-longalt.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /pdbaltpath:C:\\p\\LONG.pdb /out:lld-longalt.dll x64.obj",
        ],
    },
    Recipe {
        image: "lld-utf8.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /pdbaltpath:D:\\Проект\\движок\\игра.pdb \
             /out:lld-utf8.dll x64.obj",
        ],
    },
    Recipe {
        image: "lld-tinyalt.dll",
        steps: &[
            "LINK /dll /debug /nodefaultlib /machine:x64 /pdbaltpath:a.pdb /out:lld-tinyalt.dll x64.obj",
        ],
    },
    // No debug directory at all.
    Recipe {
        image: "lld-nodebug.dll",
        steps: &["LINK /dll /nodefaultlib /machine:x64 /out:lld-nodebug.dll x64.obj"],
    },
    Recipe {
        image: "lld-program.exe",
        steps: &[
            "CLANG --target=x86_64-pc-windows-msvc -g -gcodeview -O1 -w -DPROGRAM -c guest.c -o program.obj",
            "LINK /debug /nodefaultlib /machine:x64 /subsystem:console /entry:start /out:lld-program.exe program.obj",
        ],
    },
];

const MINGW: &[Recipe] = &[
    Recipe {
        image: "mingw-x64.dll",
        steps: &["X64 -shared -g -O1 -w -DMINGW guest.c -o mingw-x64.dll -Wl,--pdb=mingw-x64.pdb"],
    },
    Recipe {
        image: "mingw-x86.dll",
        steps: &["X86 -shared -g -O1 -w -DMINGW guest.c -o mingw-x86.dll -Wl,--pdb=mingw-x86.pdb"],
    },
    // A record with an empty path.
    Recipe {
        image: "mingw-buildid.dll",
        steps: &["X64 -shared -g -O1 -w -DMINGW guest.c -o mingw-buildid.dll -Wl,--build-id"],
    },
    Recipe {
        image: "mingw-stripped.dll",
        steps: &[
            "X64 -shared -s -O1 -w -DMINGW guest.c -o mingw-stripped.dll -Wl,--pdb=mingw-stripped.pdb",
        ],
    },
    Recipe {
        image: "mingw-nodebug.dll",
        steps: &["X64 -shared -O1 -w -DMINGW guest.c -o mingw-nodebug.dll"],
    },
    // Its code may be written to.
    Recipe {
        image: "mingw-omagic.dll",
        steps: &["X64 -shared -O1 -w -DMINGW guest.c -o mingw-omagic.dll -Wl,--omagic"],
    },
    Recipe {
        image: "mingw-program.exe",
        steps: &["X64 -g -O1 -w -DMINGW guest.c -o mingw-program.exe -Wl,--pdb=mingw-program.pdb"],
    },
];

const ZIG_RECIPES: &[Recipe] = &[
    Recipe {
        image: "zig-x64.dll",
        steps: &[
            "ZIG cc -target x86_64-windows-gnu -shared -nostdlib -fno-sanitize=all -g -w -DZIG guest.c -o zig-x64.dll",
        ],
    },
    Recipe {
        image: "zig-arm64.dll",
        steps: &[
            "ZIG cc -target aarch64-windows-gnu -shared -nostdlib -fno-sanitize=all -g -w -DZIG guest.c \
             -o zig-arm64.dll",
        ],
    },
    Recipe {
        image: "zig-arm64x.dll",
        steps: &[
            "CLANG --target=aarch64-pc-windows-msvc -g -gcodeview -O1 -w -Ddata=data_n -Dro=ro_n -D_fltused=f_n \
             -Dtwice=twice_n -Dhidden=hidden_n -D_DllMainCRTStartup=entry_n -c guest.c -o native.obj",
            "CLANG --target=arm64ec-pc-windows-msvc -g -gcodeview -O1 -w -c guest.c -o arm64ec.obj",
            "CLANG --target=arm64ec-pc-windows-msvc -O1 -w -c ec.c -o ec.obj",
            "CLANG --target=aarch64-pc-windows-msvc -w -c load.c -o load-native.obj",
            "CLANG --target=arm64ec-pc-windows-msvc -w -c load.c -o load-ec.obj",
            "ZIG lld-link /dll /debug /nodefaultlib /machine:arm64x /noentry /out:zig-arm64x.dll \
             native.obj arm64ec.obj ec.obj load-native.obj load-ec.obj",
        ],
    },
];
