use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use elf_sections::sys::{self, FileState, Modules, RemoteModule};
use elf_sections::{Changes, Image, Source, plan_changes};
use reloader_tests::went_through;

use crate::loaded::Loaded;
use crate::workshop::{Workshop, printed};

/// A process that has loaded what it was told to, and waits until its standard input ends.
struct Host(Child, Vec<String>);

impl Host {
    fn start(program: &Path, arguments: &[&Path]) -> Host {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<String> =
            lines.by_ref().map(Result::unwrap).take_while(|line| line != "ready").collect();
        Host(child, said)
    }

    fn modules(&self) -> Vec<RemoteModule> {
        sys::modules_of(self.0.id()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.0.stdin.take().map(|mut input| input.write_all(b"\n")));
        self.0.wait().unwrap();
    }
}

const HOST: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <fcntl.h>
#include <sys/mman.h>
static int each(struct dl_phdr_info *info, size_t size, void *data) {
    printf("%lx %s\n", (unsigned long)info->dlpi_addr, info->dlpi_name);
    return 0;
}
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) if (!dlopen(argv[i], RTLD_NOW)) { puts(dlerror()); return 1; }
    /* A library that is only looked at. */
    if (argc > 1) mmap(0, 4096 * 4, PROT_READ, MAP_PRIVATE, open(argv[1], O_RDONLY), 0);
    dl_iterate_phdr(each, 0);
    puts("ready"); fflush(stdout);
    getchar();
    return 0;
}"#;

#[test]
fn another_processes_images_are_those_that_it_says_it_has_loaded() {
    let workshop = Workshop::new();
    let library = "int value(void) { return 42; }";
    let mut hosts = Vec::new();
    for (name, flags) in [("pie", &["-pie"][..]), ("no-pie", &["-no-pie"]), ("m32", &["-m32"])] {
        let with = |more: &[&'static str]| -> Vec<&'static str> {
            ["gcc"].iter().chain(flags).chain(more).copied().collect()
        };
        let Some(host) = workshop.compile(name, HOST, &with(&[])) else { continue };
        let flags = if name == "m32" {
            &["gcc", "-m32", "-shared", "-fPIC"][..]
        } else {
            &["gcc", "-shared", "-fPIC"]
        };
        let flags: Vec<&str> = flags.iter().copied().chain(["-Wl,--build-id"]).collect();
        let library = workshop.compile(&format!("{name}.so"), library, &flags).unwrap();
        hosts.push((host, library));
    }
    if let Some(host) = workshop.compile("musl", HOST, &["musl-gcc"]) {
        let flags = ["musl-gcc", "-shared", "-fPIC", "-Wl,--build-id"];
        let library = workshop.compile("musl.so", library, &flags).unwrap();
        hosts.push((host, library));
    }
    went_through(hosts.len(), 4, "processes");
    for (program, library) in hosts {
        let host = Host::start(&program, &[&library]);
        let modules = host.modules();
        let mut found: Vec<usize> = modules.iter().map(|it| it.module.bias).collect();
        let mut said: Vec<usize> = host
            .1
            .iter()
            .map(|line| usize::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap())
            .collect();
        found.sort_unstable();
        said.sort_unstable();
        assert_eq!(found, said, "{}: {:?}", program.display(), host.1);

        let one = modules.iter().find(|it| it.module.path == library).unwrap();
        let bytes = std::fs::read(&library).unwrap();
        let image = Image::parse(&bytes).unwrap();
        assert!(one.module.matches(&image));
        assert_eq!(one.module.build_id.as_deref(), image.build_id());
        assert!(one.file_state().unwrap().is_unchanged());
        let vdso = modules.iter().find(|it| it.file.is_none()).unwrap();
        assert_eq!(vdso.module.path, Path::new("[vdso]"));
        assert!(vdso.file_state().is_err());
        agrees_with_elfutils(&host, &modules);
    }
}

/// `eu-unstrip -n` prints start and size, build ID, and path of each.
fn agrees_with_elfutils(host: &Host, modules: &[RemoteModule]) {
    let process = host.0.id().to_string();
    let Some(text) = printed("eu-unstrip", &["-n", "-p"], Path::new(&process)) else { return };
    let mut agreed = 0;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, size) = fields[0].split_once('+').unwrap();
        let hex =
            |digits: &str| usize::from_str_radix(digits.trim_start_matches("0x"), 16).unwrap();
        let range = hex(start)..hex(start) + hex(size);
        // Each image starts in its own range, which elfutils rounds to pages.
        let module = modules.iter().find(|it| range.contains(&it.module.range().start));
        let module = module.unwrap_or_else(|| panic!("{line}: {modules:#x?}"));
        let build_id = fields[1].split('@').next().unwrap();
        let ours = module.module.build_id.as_ref();
        let ours = ours.map(|it| it.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!(ours.as_deref().unwrap_or("-"), build_id, "{line}");
        agreed += 1;
    }
    assert_eq!(agreed, modules.len());
}

#[test]
fn no_such_process_and_no_permission_say_so() {
    let mut child = Command::new("true").spawn().unwrap();
    let process = child.id();
    child.wait().unwrap();
    let error = sys::modules_of(process).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains(&process.to_string()), "{error}");
}

/// A file with 60,000 program headers, mapped again and again in a process of its own.
#[test]
fn a_process_with_very_many_segments_is_refused() {
    let workshop = Workshop::new();
    let source = r#"
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        int main(int count, char **words) {
            int file = open(words[1], O_RDONLY);
            for (int i = atoi(words[2]); i--;)
                if (mmap(0, 1 << 22, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED)
                    return 1;
            puts("mapped");
            fflush(stdout);
            return getchar();
        }"#;
    let Some(program) = workshop.compile("maps", source, &["gcc"]) else { return };
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([3_u16, 62].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0_u64, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64_u16, 56, 60_000, 64, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    for index in 0..60_000_u64 {
        bytes.extend([1_u32, 5].into_iter().flat_map(u32::to_le_bytes));
        let at = index * 16;
        bytes.extend([at, at, at, 16, 16, 16].into_iter().flat_map(u64::to_le_bytes));
    }
    let image = workshop.write("segments.so", &bytes);
    for (count, is_read) in [(3_usize, true), (20, false)] {
        let mut command = Command::new(&program);
        command.arg(&image).arg(count.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 7];
        child.stdout.take().unwrap().read_exact(&mut said).unwrap();
        let modules = sys::modules_of(child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        match modules {
            Ok(modules) => {
                let those = modules.iter().filter(|it| it.module.path == image);
                assert_eq!((those.count(), is_read), (count, true));
            }
            Err(error) => assert!(!is_read && error.to_string().contains("segments"), "{error}"),
        }
    }
}

#[test]
fn a_file_that_was_deleted_replaced_or_rewritten_is_known() {
    let workshop = Workshop::new();
    let Some(program) = workshop.compile("host", HOST, &["gcc"]) else { return };
    let build = |name: &str, value: u32| {
        let source = format!("int value(void) {{ return {value}; }} char size[{value}];");
        let command = ["gcc", "-shared", "-fPIC", "-Wl,--build-id"];
        workshop.compile(name, &source, &command).unwrap()
    };
    let states = |change: &dyn Fn(&PathBuf)| -> [FileState; 2] {
        let path = build("lib with a space.so", 1);
        let loaded = Loaded::open(&path).unwrap();
        let host = Host::start(&program, &[&path]);
        let remote = host.modules().into_iter().find(|it| it.module.path == path).unwrap();
        change(&path);
        let states = [loaded.module().file_state().unwrap(), {
            let again = host.modules().into_iter().find(|it| it.module.bias == remote.module.bias);
            again.unwrap().file_state().unwrap()
        }];
        let _ = std::fs::remove_file(path);
        states
    };
    for state in states(&|_| ()) {
        assert!(state.is_unchanged() && !state.is_deleted, "{state:?}");
    }
    for state in states(&|path| std::fs::remove_file(path).unwrap()) {
        assert!(state.is_deleted && !state.is_there && state.is_same_build.is_none(), "{state:?}");
    }
    for state in states(&|path| {
        let other = build("other.so", 5000);
        std::fs::rename(other, path).unwrap();
    }) {
        assert!(state.is_deleted && state.is_there && !state.is_same_file, "{state:?}");
        assert_eq!(state.is_same_build, Some(false));
    }
    // The same bytes in another file.
    for state in states(&|path| {
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).unwrap();
        std::fs::rename(copy, path).unwrap();
    }) {
        assert!(!state.is_same_file && state.is_same_build == Some(true), "{state:?}");
        assert!(!state.is_unchanged());
    }
    // A pipe, which nobody writes to.
    for state in states(&|path| {
        std::fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }) {
        assert!(state.is_there && !state.is_same_file && state.is_same_build.is_none());
    }
    // Written over in place, which is no good idea with code that runs; the build ID alone differs.
    for state in states(&|path| {
        let bytes = std::fs::read(path).unwrap();
        let changes = Changes { build_id: Some(vec![7; 20]), ..Changes::default() };
        let plan = plan_changes(&Image::parse(&bytes).unwrap(), &changes).unwrap();
        let edit = &plan.edits()[0];
        // What was written is in the memory of this process as well, for it is mapped from there.
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &edit.new, edit.offset).unwrap();
    }) {
        assert!(state.is_same_file, "{state:?}");
    }
}

#[test]
fn the_list_of_images_notices_what_is_loaded_and_unloaded() {
    let workshop = Workshop::new();
    let command = ["gcc", "-shared", "-fPIC"];
    let Some(path) = workshop.compile("one.so", "int value(void) { return 1; }", &command) else {
        return;
    };
    let before = Modules::now();
    let loaded = Loaded::open(&path).unwrap();
    let mut modules = Modules::now();
    let bias = loaded.module().bias;
    let range = loaded.module().range();
    assert!(before.at(range.start).is_none_or(|it| it.path != path));
    assert_eq!(modules.at(range.start).unwrap().path, path);
    for module in modules.all() {
        for mapped in module.mapped().filter(|it| !it.is_empty()) {
            for address in [mapped.start, mapped.end - 1] {
                assert_eq!(modules.at(address), Some(module));
                assert_eq!(sys::module_of_address(address).as_ref(), Some(module));
            }
        }
    }
    assert!(modules.at(0).is_none() && modules.at(usize::MAX).is_none());
    assert!(!before.is_current());
    drop(loaded);
    assert!(modules.refresh());
    assert!(modules.all().iter().all(|it| it.bias != bias || it.path != path));
}

#[test]
fn this_process_seen_from_outside_is_what_it_sees_itself() {
    let mut outside: Vec<(usize, Option<Vec<u8>>)> = sys::modules_of(std::process::id())
        .unwrap()
        .into_iter()
        .map(|it| (it.module.bias, it.module.build_id))
        .collect();
    outside.sort();
    // Other tests load and unload meanwhile, what was there before and after must be there.
    let inside = |modules: Vec<sys::Module>| -> Vec<(usize, Option<Vec<u8>>)> {
        modules.into_iter().map(|it| (it.bias, it.build_id)).collect()
    };
    let before = inside(sys::modules());
    let steady = inside(sys::modules());
    let mut count = 0;
    for module in steady.iter().filter(|it| before.contains(it)).take(3) {
        assert!(outside.contains(module), "{module:x?} {outside:x?}");
        count += 1;
    }
    assert_eq!(count, 3, "{steady:x?}");
    let source =
        Source::new(std::fs::File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
    assert!(sys::modules()[0].matches(&source.image().unwrap()));
}
