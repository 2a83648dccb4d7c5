//! The headers by themselves, and what the library exports.

use std::collections::BTreeSet;
use std::process::Command;

use reloader_tests::{header_directory, tool, tool_of};

use crate::program::other_header;
use crate::workshop::{Program, prefix};

#[test]
fn the_library_exports_what_the_header_declares() {
    let Some(nm) = tool("nm") else { return };
    let library = prefix().join("lib/libreloader.so");
    let output = Command::new(nm.0).args(["-D", "--defined-only"]).arg(library).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<_> = text.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let header = std::fs::read_to_string(prefix().join("include/reloader.h")).unwrap();
    let declared: BTreeSet<_> = header
        .split("RELOADER_API ")
        .skip(1)
        .filter_map(|declaration| declaration.split('(').next()?.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("reloader_"))
        .collect();
    assert_eq!(exported, declared);
    assert!((10..=20).contains(&declared.len()), "{declared:?}");
}

#[test]
fn both_headers_compile_strictly_in_every_language_and_file() {
    let modes = ["", "CR_SAFEST", "CR_SAFE", "CR_UNSAFE", "CR_DISABLE"];
    let one = "#define CR_HOST MODE\n#include \"cr.h\"\n#include \"reloader.h\"\n";
    let second = "#define CR_HOST\n#define CR_LOG(...) (void)sizeof(printf(__VA_ARGS__))\n\
                  #define CR_TRACE\n#define CR_MALLOC(n) 0\n#define CR_MAIN_FUNC \"other\"\n\
                  #include \"cr.h\"\nint second(void);\nint second(void) { return CR_OP_MODE; }\n";
    let c = format!(
        "{one}int second(void);\n_Static_assert(CR_OP_MODE == WANTED, \"mode\");\n\
         int main(void) {{ struct cr_plugin p = {{0}}; return second() != CR_UNSAFE || p.version; }}\n"
    );
    let cxx = format!(
        "{one}int second();\nstatic_assert(CR_OP_MODE == WANTED, \"mode\");\n\
         int main() {{ cr_plugin p{{}}; return second() != CR_UNSAFE || p.version; }}\n"
    );
    let gcc = ["gcc", "g++"].map(|name| tool(name).map(|_| name));
    let clang = ["clang", "clang++"].map(|name| {
        let found = tool_of(&[name, if name == "clang" { "clang-19" } else { "clang++-19" }]);
        found.map(|found| &*Box::leak(found.0.to_str().unwrap().to_owned().into_boxed_str()))
    });
    for mode in modes {
        let wanted = if mode.is_empty() { "CR_UNSAFE" } else { mode };
        let flags = |program: Program| {
            program.flag(&format!("-DMODE={mode}")).flag(&format!("-DWANTED={wanted}"))
        };
        for compiler in [gcc[0], clang[0]].into_iter().flatten() {
            let program = Program::c(c.as_str()).source("second.c", second).compiler(compiler);
            assert!(run(&flags(program)), "{compiler} {mode}");
        }
        for compiler in [gcc[1], clang[1]].into_iter().flatten() {
            let program =
                Program::cxx(cxx.as_str()).source("second.cpp", second).compiler(compiler);
            assert!(run(&flags(program)), "{compiler} {mode}");
        }
    }
}

#[test]
fn a_host_in_cxx_has_what_came_with_cr_without_including_it() {
    let source = "#define CR_HOST\n#include \"cr.h\"\n\
        int main(int, char **arguments) {\n\
        std::this_thread::sleep_for(std::chrono::milliseconds(1));\n\
        std::string name = arguments[0]; std::sort(name.begin(), name.end());\n\
        struct stat of; Dl_info info; std::signal(SIGUSR1, SIG_IGN);\n\
        void *page = mmap(nullptr, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);\n\
        ElfW(Ehdr) header; std::memset(&header, 0, sizeof header); jmp_buf jump; (void)jump;\n\
        return stat(arguments[0], &of) || !dladdr((void *)&main, &info) || page == MAP_FAILED\n\
            || open(\"/none\", O_RDONLY) != -1 || std::strlen(arguments[0]) != name.size(); }\n";
    for compiler in ["g++", "clang++"] {
        let program = Program::cxx(source).compiler(compiler).flag("-Wno-pedantic");
        assert!(run(&program), "{compiler}");
    }
}

#[test]
fn both_headers_that_a_guest_may_include_say_the_same() {
    let ours = std::fs::read_to_string(prefix().join("include/cr.h")).unwrap();
    let enumerators = |header: &str| -> Vec<String> {
        let lines = header.lines().map(str::trim).filter(|line| line.starts_with("CR_"));
        lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
    };
    let mut names = enumerators(&ours);
    // Those are the host's.
    let modes = ["CR_SAFEST", "CR_SAFE", "CR_UNSAFE", "CR_DISABLE"];
    names.retain(|name| !modes.contains(&name.as_str()));
    assert_eq!(names, enumerators(&other_header()));
    assert_eq!(names.len(), 16);
    let members = ["p", "userdata", "version", "failure", "next_version", "last_working_version"];
    names.extend(members.map(|member| format!("offsetof(struct cr_plugin, {member})")));
    let types = ["struct cr_plugin", "enum cr_op", "enum cr_failure"];
    names.extend(types.map(|name| format!("sizeof({name})")));
    let print: String = names.iter().map(|name| format!("TELL({name})\n")).collect();
    let told = |header: &str| {
        let source = format!(
            "#include \"{header}\"\n#include <stddef.h>\n#include <stdio.h>\n\
             #define TELL(it) printf(\"%s %d\\n\", #it, (int)(it));\n\
             int main(void) {{ {print} return 0; }}\n"
        );
        let program = Program::c(source).flag(&format!("-I{}", header_directory().display()));
        String::from_utf8(Command::new(program.path()).output().unwrap().stdout).unwrap()
    };
    assert!(told("cr.h").contains("CR_USER 256\n"), "{}", told("cr.h"));
    assert_eq!(told("cr.h"), told("reloader_guest.h"));
}

#[test]
fn logging_can_be_turned_on_and_overridden() {
    let source = "#define CR_HOST\n#define CR_DEBUG\n#include \"cr.h\"\n\
                  int main(void) { struct cr_plugin p = {0}; return cr_plugin_open(&p, \"/none\"); }\n";
    let output = Command::new(Program::c(source).path()).output().unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("/none") && told.contains("no such file"), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("CR_TRACE"));
}

fn run(program: &Program) -> bool {
    Command::new(program.path()).status().unwrap().success()
}
