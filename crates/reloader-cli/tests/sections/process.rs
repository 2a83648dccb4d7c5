use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::desk::{Desk, end, named, number, program};

/// A process that has loaded libraries and waits; it ends with this.
struct Host {
    child: Child,
    _wait: ChildStdin,
    /// The addresses of `counter`, `buffer` and `cr_main` of each library, as the process knows
    /// them.
    seen: Vec<[u64; 3]>,
}

impl Host {
    fn with(desk: &Desk, libraries: &[&Path]) -> Option<Host> {
        Host::of(None, desk, libraries)
    }

    /// The same as another user's.
    fn of(user: Option<u32>, desk: &Desk, libraries: &[&Path]) -> Option<Host> {
        let host = desk.compile(HOST, &["-ldl"], "host")?;
        let mut command = Command::new(host);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command.args(libraries).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines
            .take(libraries.len())
            .map(|line| {
                let line = line.unwrap();
                let addresses: Vec<u64> = line
                    .split_whitespace()
                    .map(|it| u64::from_str_radix(it.trim_start_matches("0x"), 16).unwrap())
                    .collect();
                addresses.try_into().unwrap()
            })
            .collect();
        let wait = child.stdin.take().unwrap();
        Some(Host { child, _wait: wait, seen })
    }

    fn target(&self, module: &str) -> String {
        format!("{}:{module}", self.child.id())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_module_is_found_by_name_path_and_address_and_listed_where_it_is() {
    let desk = Desk::new();
    let Some(library) = guest(&desk, "libguest.so", 0) else { return };
    let Some(host) = Host::with(&desk, &[&library]) else { return };
    let [counter, buffer, code] = host.seen[0];
    let inside = format!("{code:#x}");
    for module in ["libguest.so", library.to_str().unwrap(), &inside] {
        let listed =
            desk.json(["sections", "--json", "--writable", "--symbols", &host.target(module)]);
        assert_eq!(listed["file"], library.to_str().unwrap());
        assert_eq!(number(&listed, "process"), u64::from(host.child.id()));
        assert_eq!(listed["file_state"], "unchanged");
        check_places(&listed, counter, buffer);
    }
    let all = desk.json(["sections", "--json", "--symbols", &host.target("libguest.so")]);
    assert_eq!(number(named(&all["symbols"], "cr_main")[0], "address"), code);
    let text = named(&all["sections"], ".text")[0];
    assert!((number(text, "address")..).contains(&code), "{text}");
    let comment = named(&all["sections"], ".comment")[0];
    assert_eq!(number(comment, "address"), 0, "what is not mapped has no address");
    let text = desk.run(["sections", &host.target("libguest.so")]).output;
    let bias = number(&all, "bias");
    let place = format!("in process {}, loaded {bias:x} above its own addresses", host.child.id());
    assert!(text.contains(&place), "{text}");
    assert!(
        text.contains(&format!("{:x}", number(named(&all["sections"], ".state")[0], "address")))
    );
}

#[test]
fn the_kernels_own_image_and_the_program_itself_are_modules_too() {
    let desk = Desk::new();
    let Some(host) = Host::with(&desk, &[]) else { return };
    let listed = desk.json(["sections", "--json", &host.target("[vdso]")]);
    assert_eq!(listed["file_state"], "none");
    assert_eq!(named(&listed["sections"], ".text").len(), 1);
    let listed = desk.json(["sections", "--json", &host.target("host")]);
    assert_eq!(listed["file_state"], "unchanged");
}

#[test]
fn a_library_that_has_been_replaced_is_shown_as_it_was_loaded() {
    let desk = Desk::new();
    let Some(library) = guest(&desk, "libguest.so", 0) else { return };
    let Some(host) = Host::with(&desk, &[&library]) else { return };
    let Some(newer) = guest(&desk, "newer.so", 4000) else { return };
    fs::rename(newer, &library).unwrap();
    for state in ["replaced", "deleted"] {
        let end = desk.run([
            "sections",
            "--json",
            "--writable",
            "--symbols",
            &host.target("libguest.so"),
        ]);
        let listed = end.json();
        let [counter, buffer, _] = host.seen[0];
        // Only root may read what the kernel still has of the file.
        if is_root() {
            assert_eq!(listed["file_state"], state);
            check_places(&listed, counter, buffer);
            let text = desk.run(["sections", &host.target("libguest.so")]).output;
            assert!(text.contains("this is the one that is loaded"), "{text}");
        } else {
            assert_eq!(listed["file_state"], "lost");
        }
        let _ = fs::remove_file(&library);
    }
}

#[test]
fn what_cannot_be_found_is_said_with_what_there_is() {
    let desk = Desk::new();
    let Some(library) = guest(&desk, "libguest.so", 0) else { return };
    fs::create_dir(desk.path("other")).unwrap();
    let second = desk.path("other/libguest.so");
    fs::copy(&library, &second).unwrap();
    let Some(host) = Host::with(&desk, &[&library, &second]) else { return };
    for (module, words) in [
        ("libmissing.so", vec!["has no module libmissing.so; it has", "libguest.so", "[vdso]"]),
        ("", vec!["which module", "libguest.so"]),
        ("0x10", vec!["has no module 0x10"]),
        ("guest", vec!["has no module guest; it has libguest.so, libguest.so"]),
        (
            "libguest.so",
            vec!["several modules libguest.so; say which by its address: 0x", "other/libguest.so"],
        ),
    ] {
        let end = desk.run(["sections", &host.target(module)]);
        let error = end.failure(1);
        assert!(words.iter().all(|it| error.contains(it)), "{error}");
    }
    for (path, [counter, buffer, code]) in [&library, &second].into_iter().zip(&host.seen) {
        let listed = desk.json([
            "sections",
            "--json",
            "--writable",
            "--symbols",
            &host.target(&format!("{code:#x}")),
        ]);
        assert_eq!(listed["file"], path.to_str().unwrap());
        check_places(&listed, *counter, *buffer);
    }
    let gone = host.target("libguest.so");
    let process = host.child.id();
    drop(host);
    let end = desk.run(["sections", &gone]);
    assert!(end.failure(1).contains(&format!("there is no process {process}")), "{}", end.error);
}

#[test]
fn a_refused_permission_is_explained_with_the_cure() {
    let desk = Desk::new();
    let Some(host) = Host::with(&desk, &[]) else { return };
    let end = if is_root() {
        end(as_nobody(&desk).args(["sections", &host.target("host")]))
    } else if fs::metadata("/proc/1").unwrap().uid() == rustix::process::getuid().as_raw() {
        println!("skipped: every process may be looked into");
        return;
    } else {
        desk.run(["sections", "1:init"])
    };
    let error = end.failure(1);
    assert!(error.contains("denied") && error.contains("root (sudo)"), "{error}");
    assert!(error.contains("--cap-add=SYS_PTRACE"), "{error}");
}

#[test]
fn of_a_library_that_is_gone_its_owner_sees_what_is_in_memory() {
    let desk = Desk::new();
    let (user, mut program) = match is_root() {
        true => (Some(NOBODY), as_nobody(&desk)),
        false => (None, program()),
    };
    let Some(library) = guest(&desk, "libguest.so", 0) else { return };
    let Some(host) = Host::of(user, &desk, &[&library]) else { return };
    let [counter, _, code] = host.seen[0];
    fs::remove_file(&library).unwrap();
    let end = end(program.args(["sections", "--json", "--symbols", &host.target("libguest.so")]));
    let listed = end.json();
    assert_eq!(listed["file_state"], "lost");
    assert!(end.error.contains("only root may read what is left of it"), "{}", end.error);
    assert_eq!(listed["sections"], Value::Array(Vec::new()));
    for (address, permission) in [(counter, "write"), (code, "execute")] {
        let is_it = |it: &Value| {
            let start = number(it, "address");
            let holds = (start..start + number(it, "memory_size")).contains(&address);
            it["name"] == "LOAD" && it[permission] == true && holds
        };
        assert!(listed["segments"].as_array().unwrap().iter().any(is_it), "{listed}");
    }
}

#[test]
fn a_file_goes_before_a_process() {
    let desk = Desk::new();
    desk.write("1:guest.so", crate::elf::image());
    let listed = desk.json(["sections", "--json", "1:guest.so"]);
    assert_eq!(listed["file"], "1:guest.so");
    assert_eq!(listed.get("process"), None);
}

/// Sections, ranges and symbols are where the process itself says that its variables are.
fn check_places(listed: &Value, counter: u64, buffer: u64) {
    let state = named(&listed["sections"], ".state")[0];
    assert_eq!(number(state, "address"), counter);
    let bss = named(&listed["sections"], ".bss")[0];
    let start = number(bss, "address");
    assert!((start..start + number(bss, "size")).contains(&buffer), "{bss}");
    for (name, address) in [("counter", counter), ("buffer", buffer)] {
        let symbol = named(&listed["symbols"], name)[0];
        assert_eq!(number(symbol, "address"), address);
        assert_eq!(symbol["excluded"], Value::Null);
        let holds = |it: &Value| {
            let start = number(it, "address");
            (start..start + number(it, "size")).contains(&address)
        };
        assert!(listed["variables"].as_array().unwrap().iter().any(holds), "{name}");
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// The program as somebody runs it who may do nothing special.
fn as_nobody(desk: &Desk) -> Command {
    let directory = desk.path("");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = desk.path("reloader");
    fs::copy(program().get_program(), &copy).unwrap();
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY).current_dir(directory);
    command
}

/// A library with variables; `more` bytes of them before the others.
fn guest(desk: &Desk, name: &str, more: usize) -> Option<PathBuf> {
    let source = GUEST.replace("@MORE@", &(more + 1).to_string());
    desk.compile(&source, &["-shared", "-fPIC", "-Wl,--build-id"], name)
}

const NOBODY: u32 = 65534;

const GUEST: &str = r#"
char more[@MORE@] = {1};
__attribute__((section(".state"))) int counter = 3;
static char buffer[500];
char *where(void) { return buffer; }
int cr_main(void) { return ++counter; }
"#;

const HOST: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/prctl.h>

int main(int count, char **paths)
{
    // Where only a debugger's children may be looked into, this one lets everybody.
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    for (int index = 1; index < count; index++) {
        void *library = dlopen(paths[index], RTLD_NOW);
        char *(*where)(void) = (char *(*)(void))dlsym(library, "where");
        printf("%p %p %p\n", dlsym(library, "counter"), (void *)where(), dlsym(library, "cr_main"));
    }
    fflush(stdout);
    return getchar() == 'x';
}
"#;
