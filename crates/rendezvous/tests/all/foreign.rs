use std::path::PathBuf;
use std::process::{Command, Stdio};

use rendezvous::{
    Class, Consistency, Core, Endian, Layout, LocateError, Memory, Role, Unreadable, Way,
};

use crate::support::{Workshop, has};

/// A processor that QEMU emulates, and compilers for it.
struct Machine {
    emulator: &'static str,
    compiler: &'static str,
    root: &'static str,
    layout: Layout,
    /// Flags with which the program is made, and the entry of its dynamic table that leads to the
    /// list then.
    ways: &'static [(&'static str, &'static str)],
}

const MACHINES: [Machine; 2] = [
    Machine {
        emulator: "qemu-aarch64",
        compiler: "aarch64-linux-gnu-gcc",
        root: "/usr/aarch64-linux-gnu",
        layout: Layout { class: Class::Elf64, endian: Endian::Little },
        ways: &[("-pie", "(DEBUG)"), ("-no-pie", "(DEBUG)")],
    },
    Machine {
        emulator: "qemu-mips",
        compiler: "mips-linux-gnu-gcc",
        root: "/usr/mips-linux-gnu",
        layout: Layout { class: Class::Elf32, endian: Endian::Big },
        ways: &[("-pie", "(MIPS_RLD_MAP_REL)"), ("-no-pie", "(MIPS_RLD_MAP)")],
    },
];

/// What a program was, said of itself, and left behind.
struct Remains {
    core: Vec<u8>,
    program: Vec<u8>,
    /// Node, bias and dynamic table of each module, and what the loader calls it.
    said: Vec<([u64; 3], String)>,
}

impl Machine {
    fn remains(&self, flag: &str, entry: &str) -> Option<Remains> {
        let workshop = Workshop::new();
        let library = "int in_library(void) { return 1; }\n";
        let shared = [self.compiler, "-shared", "-fPIC"];
        let library = workshop.compile("library.so", library, &shared)?;
        let fpic = if flag == "-pie" { "-fPIE" } else { "-fno-pie" };
        let program = workshop.compile("program", TARGET, &[self.compiler, flag, fpic, "-ldl"])?;
        let dynamic = Command::new("readelf").arg("-dW").arg(&program).output().unwrap();
        let dynamic = String::from_utf8(dynamic.stdout).unwrap();
        assert!(dynamic.contains(entry), "{}, {flag}: {dynamic}", self.emulator);
        let output = Command::new("sh")
            .args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh", self.emulator, "-L", self.root])
            .args([&program, &library])
            .current_dir(workshop.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = text.lines().map(|line| {
            let mut fields = line.splitn(4, ' ');
            let mut word = || u64::from_str_radix(fields.next().unwrap(), 16).unwrap();
            ([word(), word(), word()], fields.next().unwrap().to_owned())
        });
        let is_core = |path: &PathBuf| path.extension().is_some_and(|it| it == "core");
        let core = std::fs::read_dir(workshop.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(is_core)
            .unwrap_or_else(|| panic!("{}: no core file: {text}", self.emulator));
        Some(Remains {
            core: std::fs::read(core).unwrap(),
            program: std::fs::read(&program).unwrap(),
            said: said.collect(),
        })
    }
}

#[test]
fn core_files_of_other_processors_say_what_the_programs_said() {
    for machine in MACHINES {
        if !has(machine.emulator) || !has("readelf") {
            continue;
        }
        for (flag, entry) in machine.ways {
            let Some(remains) = machine.remains(flag, entry) else { continue };
            let Remains { core, program, said } = &remains;
            // The program, its C library, the loader, the library that it opened.
            assert_eq!(said.len(), 4, "{said:x?}");
            let mut core = Core::parse(core).unwrap();
            assert_eq!(core.startup().layout, machine.layout);
            // The emulator does not note what it mapped, and leaves out what nobody wrote to.
            assert_eq!(core.mappings().iter().count(), 0);
            let error = core.locate(None).unwrap_err();
            assert!(
                matches!(&error, LocateError::Unreadable { error, .. }
                    if error.reason == Unreadable::NotDumped),
                "{error}"
            );
            another_program_is_refused(&core, program);
            assert!(core.supply_program(program));

            let rendezvous = core.locate(None).unwrap().found().unwrap();
            assert_eq!(rendezvous.way, Way::DynamicTable);
            let mut snapshot = rendezvous.snapshot(&core);
            snapshot.resolve(&core, core.mappings());
            assert_eq!(snapshot.problem, None);
            assert_eq!(snapshot.consistency, Consistency::Consistent);
            let found: Vec<_> = snapshot
                .modules()
                .map(|it| ([it.link_map, it.bias, it.dynamic], it.path_lossy().into_owned()))
                .collect();
            assert_eq!(&found, said, "{} {flag}", machine.emulator);
            let roles: Vec<Role> = snapshot.modules().map(|module| module.role).collect();
            assert_eq!(roles, [Role::Program, Role::Library, Role::Loader, Role::Library]);
        }
    }
}

fn another_program_is_refused(core: &Core<'_>, program: &[u8]) {
    let is_taken = |contents: &[u8]| core.clone().supply_program(contents);
    assert!(!is_taken(b""));
    assert!(!is_taken(&program[..64]));
    assert!(!is_taken(&std::fs::read(std::env::current_exe().unwrap()).unwrap()));
    let is_big = core.startup().layout.endian == Endian::Big;
    let is_small = core.startup().layout.class == Class::Elf32;
    // Class, byte order, entry point, number of program headers.
    let entry = 24 + if is_small { 3 } else { 7 } * usize::from(is_big);
    let count = if is_small { 44 } else { 56 } + usize::from(is_big);
    for at in [4, 5, entry, count] {
        let mut other = program.to_vec();
        other[at] ^= 3;
        assert!(!is_taken(&other), "{at}");
    }
    // What claims to have more than the file has is taken as far as that goes.
    for length in (0..program.len()).step_by(997) {
        let mut cut = core.clone();
        if cut.supply_program(&program[..length])
            && let Ok(location) = cut.locate(None)
            && let Some(rendezvous) = location.found()
        {
            rendezvous.snapshot(&cut);
        }
    }
    let mut page = [0; 16];
    let address = core.startup().auxv.phdr.unwrap();
    assert!(core.read_exact_at(address, &mut page).is_err());
}

/// Says what its loader's list is, and dies.
const TARGET: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **arguments) {
    if (count < 2 || !dlopen(arguments[1], RTLD_NOW)) return 1;
    void *program = dlopen(NULL, RTLD_NOW);
    struct link_map *node;
    if (dlinfo(program, RTLD_DI_LINKMAP, &node)) return 2;
    for (; node; node = node->l_next)
        printf("%lx %lx %lx %s\n", (long)node, (long)node->l_addr, (long)node->l_ld, node->l_name);
    fflush(stdout);
    abort();
}
"#;
