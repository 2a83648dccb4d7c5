use std::path::{Path, PathBuf};
use std::process::Command;

use elf_sections::{Binding, Changes, DebugLink, Expected, Image, Machine, verdict};
use reloader_tests::{missing, tool, went_through};

use crate::plans::{is_well_formed, long, write};
use crate::workshop::Workshop;

/// What compiles for a processor and a C library, what runs its programs, and which linkers there
/// are.
struct Processor {
    machine: Machine,
    compiler: &'static [&'static str],
    linkers: &'static [&'static str],
    emulator: &'static [&'static str],
    libc: Libc,
}

/// A loader, each a program of other people, which trusts other things.
#[derive(Clone, Copy, PartialEq)]
enum Libc {
    Glibc,
    /// Never unloads anything.
    Musl,
}

const EMULATOR: &[&str] = &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"];

const PROCESSORS: [Processor; 5] = [
    Processor {
        machine: Machine::X86_64,
        compiler: &["gcc"],
        linkers: &["bfd", "gold", "lld", "mold"],
        emulator: &[],
        libc: Libc::Glibc,
    },
    Processor {
        machine: Machine::X86,
        compiler: &["gcc", "-m32"],
        linkers: &["bfd", "gold", "lld", "mold"],
        emulator: &[],
        libc: Libc::Glibc,
    },
    Processor {
        machine: Machine::AARCH64,
        compiler: &["aarch64-linux-gnu-gcc"],
        linkers: &["bfd", "gold"],
        emulator: EMULATOR,
        libc: Libc::Glibc,
    },
    Processor {
        machine: Machine::AARCH64,
        compiler: &["clang", "--target=aarch64-linux-gnu"],
        linkers: &["lld", "mold"],
        emulator: EMULATOR,
        libc: Libc::Glibc,
    },
    Processor {
        machine: Machine::X86_64,
        compiler: &["musl-gcc"],
        linkers: &["bfd", "gold", "lld", "mold"],
        emulator: &[],
        libc: Libc::Musl,
    },
];

/// Says what the library gives and whether it goes when it is closed.
const HOST: &str = "#include <dlfcn.h>\n#include <stdio.h>\nint main(int argc, char **argv) {
    void *it = dlopen(argv[1], RTLD_NOW); if (!it) { puts(dlerror()); return 1; }
    int (*value)(void) = (int (*)(void))dlsym(it, \"value\");
    printf(\"%d\", value()); dlclose(it);
    puts(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) ? \", stays\" : \", goes\"); return 0; }";

const LIBRARY: &str = "extern int dep_value(void);
    int zeros[5000]; int own = 2; int *to_own = &own;
    #ifdef UNIQUE
    __asm__(\".pushsection .data\\n.balign 4\\n.globl only\\n.type only, %gnu_unique_object\\n\"
            \".size only, 4\\nonly: .long 0\\n.popsection\\n\");
    extern int only; int *to_only = &only;
    #else
    int *to_only = zeros;
    #endif
    __attribute__((constructor)) static void start(void) { zeros[4999] = 1; }
    int value(void) { return dep_value() + *to_own + *to_only + zeros[4999] - 1; }";

/// One kind of change: what the library is linked with, and what it is like before and after.
struct Case {
    what: &'static str,
    flags: &'static [&'static str],
    changes: Changes<'static>,
    /// Where the needed library is, by the name that the changed one needs.
    dependency: &'static str,
    /// `None` if the library that is not changed does not load.
    before: Option<&'static str>,
    is_in_place: bool,
}

const BESIDE: &str = "-Wl,--enable-new-dtags,-rpath,$ORIGIN";

fn cases(libc: Libc) -> Vec<Case> {
    let case = |what, changes| Case {
        what,
        flags: &[BESIDE],
        changes,
        dependency: "libdep.so",
        before: Some("42, goes\n"),
        is_in_place: false,
    };
    let none = Changes::default;
    // musl is one library under every name.
    let other = match libc {
        Libc::Glibc => b"libm.so.6".to_vec(),
        Libc::Musl => b"libc.so".to_vec(),
    };
    let needed = |new: &str| vec![(b"libdep.so".to_vec(), new.as_bytes().to_vec())];
    let link = DebugLink { file_name: b"own.debug", checksum: 0x1234_5678 };
    vec![
        Case {
            flags: &[BESIDE, "-Wl,-z,nodelete"],
            before: Some("42, stays\n"),
            is_in_place: true,
            ..case("NODELETE off", Changes { allow_unload: true, ..none() })
        },
        Case {
            flags: &[BESIDE, "-DUNIQUE"],
            before: Some("42, stays\n"),
            is_in_place: true,
            ..case("UNIQUE to GLOBAL", Changes { localize_unique: true, ..none() })
        },
        Case {
            is_in_place: true,
            ..case("SONAME in place", Changes { soname: Some(b"libo.so".to_vec()), ..none() })
        },
        case("SONAME moved", Changes { soname: Some(long("lib", 5000)), ..none() }),
        Case {
            flags: &[],
            dependency: "beside/libdep.so",
            before: None,
            ..case("RUNPATH", Changes { runpath: Some(b"$ORIGIN/beside".to_vec()), ..none() })
        },
        Case {
            flags: &["-Wl,--enable-new-dtags,-rpath,/a/place/where/there/is/no/library/at/all"],
            dependency: "beside/libdep.so",
            before: None,
            is_in_place: true,
            ..case(
                "RUNPATH in place",
                Changes { runpath: Some(b"$ORIGIN/beside".to_vec()), ..none() },
            )
        },
        Case {
            dependency: "libd.so",
            before: None,
            is_in_place: true,
            ..case("NEEDED in place", Changes { replace_needed: needed("libd.so"), ..none() })
        },
        Case {
            dependency: "libdep-of-a-longer-name.so",
            before: None,
            ..case(
                "NEEDED moved",
                Changes { replace_needed: needed("libdep-of-a-longer-name.so"), ..none() },
            )
        },
        case("twenty NEEDED more", Changes { add_needed: vec![other.clone(); 20], ..none() }),
        case("debuglink", Changes { debug_link: Some(link), ..none() }),
        Case {
            is_in_place: true,
            ..case("build-id", Changes { build_id: Some(vec![0xab; 20]), ..none() })
        },
        Case {
            flags: &["-DUNIQUE", "-Wl,-z,nodelete"],
            dependency: "beside/libdep-of-a-longer-name.so",
            before: None,
            ..case(
                "everything",
                Changes {
                    soname: Some(long("lib", 300)),
                    runpath: Some([b"$ORIGIN/beside:".to_vec(), long("/", 6000)].concat()),
                    replace_needed: needed("libdep-of-a-longer-name.so"),
                    add_needed: vec![other; 2],
                    build_id: Some(vec![0xab; 20]),
                    debug_link: Some(link),
                    localize_unique: true,
                    allow_unload: true,
                },
            )
        },
    ]
}

#[test]
fn changed_libraries_load_on_each_processor() {
    let mut counts = Vec::new();
    for processor in &PROCESSORS {
        let Some(host) = Host::new(processor) else { continue };
        for linker in processor.linkers {
            if tool(&format!("ld.{linker}")).is_none() {
                continue;
            }
            let cases = cases(processor.libc);
            cases.iter().for_each(|case| host.loads(linker, case));
            counts.push((processor.machine.to_string(), *linker, cases.len()));
        }
    }
    println!("{counts:?}");
    went_through(counts.iter().map(|(.., count)| count).sum(), 16 * 12, "changed libraries");
}

/// A program for a processor, and where it is.
struct Host<'a> {
    processor: &'a Processor,
    workshop: Workshop,
    program: PathBuf,
}

impl Host<'_> {
    /// `None`, and a line about it, where there is nothing to make or to run it with.
    fn new(processor: &Processor) -> Option<Host<'_>> {
        let [compiler, flags @ ..] = processor.compiler else { unreachable!("a compiler") };
        tool(compiler)?;
        if let Some(emulator) = processor.emulator.first() {
            tool(emulator)?;
        }
        let workshop = Workshop::new();
        let source = workshop.write("host.c", HOST);
        let program = workshop.path("host");
        let mut command = Command::new(compiler);
        command.args(flags).arg(&source).arg("-o").arg(&program);
        if !command.output().unwrap().status.success() {
            missing(&format!("a C library for {:?} is missing", processor.compiler));
            return None;
        }
        Some(Host { processor, workshop, program })
    }

    fn compile(&self, name: &str, source: &str, linker: &str, flags: &[&str]) -> PathBuf {
        let linker = format!("-fuse-ld={linker}");
        let command = [self.processor.compiler, &["-shared", "-fPIC", &linker], flags].concat();
        self.workshop.compile(name, source, &command).unwrap()
    }

    /// What the program says of a library; `None` if that cannot be loaded.
    fn says(&self, library: &Path) -> Option<String> {
        let mut command = match self.processor.emulator {
            [] => Command::new(&self.program),
            [emulator, arguments @ ..] => {
                let mut command = Command::new(emulator);
                command.args(arguments).arg(&self.program);
                command
            }
        };
        let output = command.arg(library).env_remove("LD_LIBRARY_PATH").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        match output.status.code() {
            Some(0) if self.processor.libc == Libc::Musl => Some(said.replace("stays", "goes")),
            Some(0) => Some(said),
            Some(1) => {
                let words = match self.processor.libc {
                    Libc::Glibc => "cannot open shared object file",
                    Libc::Musl => "Error loading shared library",
                };
                assert!(said.contains(words), "{said}");
                None
            }
            _ => panic!("{library:?}: {} {said}", output.status),
        }
    }

    fn loads(&self, linker: &str, case: &Case) {
        let what = format!("{}, {:?}, {linker}", case.what, self.processor.compiler);
        std::fs::create_dir_all(self.workshop.path("beside")).unwrap();
        let source = "int dep_value(void) { return 40; }";
        let needed = self.compile("libdep.so", source, linker, &["-Wl,-soname,libdep.so"]);
        let given = ["-Wl,-soname,libown.so", "-Wl,--build-id=sha1", needed.to_str().unwrap()];
        let library =
            self.compile("libown.so", LIBRARY, linker, &[&given[..], case.flags].concat());
        let dependency = self.workshop.path(case.dependency);
        std::fs::rename(&needed, &dependency).unwrap();
        let before = match self.processor.libc {
            Libc::Glibc => case.before,
            Libc::Musl => case.before.and(Some("42, goes\n")),
        };
        assert_eq!(self.says(&library).as_deref(), before, "{what}");

        let target = self.workshop.path("changed.so");
        let before = std::fs::read(&library).unwrap();
        let before = Image::parse(&before).unwrap();
        assert_eq!(before.header().machine, self.processor.machine);
        let bytes = write(&library, &target, &case.changes);
        let judged = verdict(&bytes, &Expected::like(before.header()));
        assert_eq!(judged.reason(), None, "{what}");
        let after = judged.complete().unwrap();
        assert!(!case.is_in_place || bytes.len() == before.data().len(), "{what}");
        assert!(!after.dynamic_symbols().any(|it| it.binding == Binding::Unique), "{what}");
        assert!(!after.is_nodelete(), "{what}");
        is_well_formed(&library, &target, &what);
        assert_eq!(self.says(&target).as_deref(), Some("42, goes\n"), "{what}");
        for path in [&library, &target, &dependency] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
