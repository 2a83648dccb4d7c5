//! Targets of every kind: for each the full set of modules, as the kernel and another reader of
//! processes have it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::elf::{ElfFile64, ProgramHeader};
use reloader_tests::tool;
use rendezvous::{Consistency, Location, Module, Process, Role, Snapshot, Way};

use crate::target::Target;
use crate::workshop::{M32, Work, copy_closed};

/// The lists of a target that is at rest, and what told where they are.
pub fn read(target: &Target) -> (Snapshot, Way) {
    let process = Process::open(target.pid()).unwrap();
    let rendezvous = process.locate().unwrap().found().expect("the loader has run");
    let mut snapshot = rendezvous.snapshot(&process);
    snapshot.resolve(&process, &process.mappings().unwrap());
    assert_eq!(snapshot.consistency, Consistency::Consistent);
    assert_eq!(snapshot.problem, None);
    (snapshot, rendezvous.way)
}

/// Where a module's image begins, by its own dynamic table.
fn start(target: &Target, module: &Module) -> u64 {
    let images = target.mapped();
    // A static program has no dynamic table, and its headers are what the kernel has told it.
    let within = match module.dynamic {
        0 => Process::open(target.pid()).unwrap().startup().auxv.phdr.unwrap(),
        dynamic => dynamic,
    };
    let before = images.range(..(within, PathBuf::new()));
    before.last().unwrap_or_else(|| panic!("{module:?} is nowhere")).0
}

/// That the lists hold what is mapped, all of it and nothing else, each file under its own name.
fn is_complete(target: &Target) -> Snapshot {
    let (snapshot, _) = read(target);
    let mapped = target.mapped();
    let listed: BTreeSet<(u64, PathBuf)> = snapshot
        .modules()
        .map(|module| {
            let path = match module.role {
                Role::Kernel => PathBuf::from("[vdso]"),
                _ => PathBuf::from(std::ffi::OsStr::from_bytes(module.path())),
            };
            (start(target, module), path)
        })
        .collect();
    assert_eq!(listed, mapped);
    agrees_with_elfutils(target, &snapshot);
    snapshot
}

/// That `eu-unstrip`, which looks at mappings and notes and not at lists, finds the same images
/// with the same build IDs.
fn agrees_with_elfutils(target: &Target, snapshot: &Snapshot) {
    let Some(tool) = tool("eu-unstrip") else { return };
    let output =
        Command::new(tool.0).args(["-n", "-p", &target.pid().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // `0x55…+0x4000 0123…@0x55… /path /path name`, or `-` for no build ID.
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs: BTreeSet<(u64, String)> = text
        .lines()
        .map(|line| {
            let (place, rest) = line.split_once(' ').unwrap();
            let (address, _) = place.split_once('+').unwrap();
            let address = u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap();
            let id = rest.split([' ', '@']).next().unwrap().trim_matches('-');
            (address, id.to_owned())
        })
        .collect();
    let ours: BTreeSet<(u64, String)> = snapshot
        .modules()
        .map(|module| {
            let id = module.build_id.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
            (start(target, module), id)
        })
        .collect();
    assert_eq!(ours, theirs, "{text}");
}

fn roles(snapshot: &Snapshot) -> Vec<Role> {
    snapshot.namespaces[0].modules.iter().map(|module| module.role).collect()
}

/// A program with a library opened, checked before and after.
fn opens_a_library(program: &Path, library: &Path) {
    let mut target = Target::start(program);
    let before = is_complete(&target);
    assert_eq!(roles(&before).iter().filter(|&&role| role == Role::Program).count(), 1);
    let handle = target.open(library);
    let after = is_complete(&target);
    let last = after.namespaces[0].modules.last().unwrap();
    assert_eq!(last.path(), library.as_os_str().as_bytes());
    assert_eq!(last.role, Role::Library);
    assert!(last.build_id.is_some());
    target.close(&handle);
    is_complete(&target);
}

fn program_with<'a>(flags: impl IntoIterator<Item = &'a str>) -> Option<PathBuf> {
    Work::program().flags(flags).make()
}

#[test]
fn a_program_that_can_be_anywhere() {
    let (Some(program), Some(library)) = (program_with(["-fPIE", "-pie"]), a()) else { return };
    opens_a_library(&program, &library);
}

#[test]
fn a_program_with_fixed_addresses_has_no_bias() {
    let (Some(program), Some(library)) = (program_with(["-no-pie"]), a()) else { return };
    opens_a_library(&program, &library);
    let target = Target::start(&program);
    assert_eq!(read(&target).0.namespaces[0].modules[0].bias, 0);
}

#[test]
fn programs_of_every_linker() {
    let Some(library) = a() else { return };
    for linker in ["gold", "lld", "mold"] {
        for kind in ["-pie", "-no-pie"] {
            let flag = format!("-fuse-ld={linker}");
            let Some(program) = program_with([flag.as_str(), "-fPIE", kind]) else { continue };
            opens_a_library(&program, &library);
        }
    }
}

#[test]
fn a_32_bit_program() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no 32-bit programs here");
        return;
    }
    let library = Work::library("a").flag("-m32").make();
    let (Some(program), Some(library)) = (program_with(M32), library) else { return };
    opens_a_library(&program, &library);
}

#[test]
fn a_static_program_that_can_be_anywhere_and_opens_libraries() {
    // The linker says that what is opened at run time needs the same C library.
    let (Some(program), Some(library)) = (program_with(["-static-pie"]), a()) else { return };
    opens_a_library(&program, &library);
}

#[test]
fn a_static_program_that_can_be_anywhere_and_opens_nothing() {
    let Some(program) = program_with(["-static-pie", "-DNO_DLOPEN"]) else { return };
    let target = Target::start(&program);
    let process = Process::open(target.pid()).unwrap();
    // Its own start-up code relocates it: if it has a list, it is of itself.
    match process.locate() {
        Ok(Location::Found(rendezvous)) => {
            let snapshot = rendezvous.snapshot(&process);
            assert!(snapshot.modules().all(|it| it.role != Role::Library), "{snapshot:?}");
        }
        Ok(Location::NotYet { wait_at }) => assert_ne!(wait_at, 0),
        Err(error) => assert!(error.to_string().contains("static"), "{error}"),
    }
}

#[test]
fn a_static_program_tells_of_libraries_from_the_first_on() {
    let (Some(program), Some(library)) = (program_with(["-static", "-no-pie"]), a()) else {
        return;
    };
    let mut target = Target::start(&program);
    target.open(&library);
    let snapshot = is_complete(&target);
    assert_eq!(read(&target).1, Way::StaticSymbol);
    let last = snapshot.namespaces[0].modules.last().unwrap();
    assert_eq!(last.path(), library.as_os_str().as_bytes());
}

#[test]
fn a_static_program_without_a_loader_has_no_list() {
    let Some(program) = program_with(["-static", "-no-pie", "-DNO_DLOPEN"]) else { return };
    let target = Target::start(&program);
    let located = Process::open(target.pid()).unwrap().locate();
    // glibc links its loader into most static programs, with nothing but the program in its list.
    match located {
        Ok(Location::NotYet { .. }) => {}
        Ok(Location::Found(_)) => {
            assert!(read(&target).0.modules().all(|it| it.role != Role::Library));
        }
        Err(error) => assert!(error.to_string().contains("static"), "{error}"),
    }
}

#[test]
fn a_program_of_musl() {
    let Some(program) = Work::program().compiler("musl-gcc").make() else { return };
    let Some(library) = a() else { return };
    let mut target = Target::start(&program);
    is_complete(&target);
    let handle = target.open(&library);
    let after = is_complete(&target);
    assert_eq!(after.namespaces[0].modules.last().unwrap().path(), library.as_os_str().as_bytes());
    // It keeps what is closed.
    target.close(&handle);
    assert_eq!(is_complete(&target).modules().count(), after.modules().count());
}

#[test]
fn namespaces_have_modules_of_their_own() {
    let (Some(program), Some(library), Some(other)) =
        (program_with([]), a(), Work::library("b").make())
    else {
        return;
    };
    let mut target = Target::start(&program);
    let first = target.handle(&format!("space {}", library.display()));
    target.handle(&format!("beside {first} {}", other.display()));
    target.handle(&format!("space {}", library.display()));
    target.open(&library);
    let snapshot = is_complete(&target);
    let files = |namespace: usize| -> Vec<&[u8]> {
        let modules = &snapshot.namespaces[namespace].modules;
        modules.iter().filter(|it| it.role == Role::Library).map(Module::path).collect()
    };
    let (a, b) = (library.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    assert_eq!(snapshot.namespaces.len(), 3);
    assert_eq!(files(0).last(), Some(&a));
    assert!(files(1).contains(&a) && files(1).contains(&b), "{:?}", files(1));
    assert!(files(2).contains(&a) && !files(2).contains(&b), "{:?}", files(2));
    // The same file three times: three modules.
    let identities: BTreeSet<String> = snapshot
        .modules()
        .filter(|module| module.path() == a)
        .map(|module| format!("{:?}", module.identity()))
        .collect();
    assert_eq!(identities.len(), 3);
}

#[test]
fn a_program_that_is_run_by_the_loader() {
    let (Some(program), Some(library)) = (program_with([]), a()) else { return };
    let Some(loader) = interpreter(&program) else { return };
    let mut target = Target::of(Command::new(&loader).arg(&program));
    let (snapshot, way) = read(&target);
    assert_eq!(way, Way::ExecutedLoaderSymbol);
    let program_path = program.as_os_str().as_bytes();
    assert_eq!(snapshot.namespaces[0].modules[0].role, Role::Program);
    assert_eq!(snapshot.namespaces[0].modules[0].path(), program_path);
    target.open(&library);
    is_complete(&target);
}

#[test]
fn a_program_without_dt_debug() {
    let directory = tempfile::tempdir().unwrap();
    let (Some(program), Some(library)) = (without_dt_debug(directory.path()), a()) else { return };
    opens_a_library(&program, &library);
    let target = Target::start(&program);
    assert_eq!(read(&target).1, Way::LoaderSymbol);
}

/// A program that does not say where its list is.
pub fn without_dt_debug(directory: &Path) -> Option<PathBuf> {
    let mut bytes = fs::read(Work::program().make()?).unwrap();
    assert!(hide_dt_debug(&mut bytes), "it has one");
    let (unfinished, hidden) = (directory.join("unfinished"), directory.join("hidden"));
    fs::write(&unfinished, bytes).unwrap();
    // So that no child of another test has it open for writing when it is run.
    copy_closed(&unfinished, &hidden);
    assert!(Command::new("chmod").arg("+x").arg(&hidden).status().unwrap().success());
    Some(hidden)
}

#[test]
fn a_program_that_is_audited() {
    let (Some(program), Some(library)) = (program_with([]), a()) else { return };
    let audit =
        Work::library_of("audit", "unsigned la_version(unsigned version) { return version; }");
    let Some(audit) = audit.flag("-nostdlib").make() else { return };
    let mut target = Target::of(Command::new(&program).env("LD_AUDIT", &audit));
    target.open(&library);
    let snapshot = is_complete(&target);
    assert_eq!(snapshot.namespaces.len(), 2);
    let other = &snapshot.namespaces[1].modules;
    assert!(other.iter().any(|it| it.path() == audit.as_os_str().as_bytes()), "{other:?}");
}

pub fn audit() -> Work {
    let source = "unsigned la_version(unsigned version) { return version; }";
    Work::library_of("audit", source).flag("-nostdlib")
}

#[test]
fn a_program_with_an_r_debug_of_its_own() {
    let (Some(program), Some(library)) = (own_r_debug().make(), a()) else { return };
    opens_a_library(&program, &library);
}

pub fn own_r_debug() -> Work {
    let own = "#include <link.h>\nstruct r_debug _r_debug = { 7, 0, 7, 0, 7 };\n";
    Work::program().before(own).flag("-rdynamic")
}

#[test]
fn a_program_with_a_copy_of_the_loaders_r_debug() {
    let (Some(program), Some(library)) = (copied_r_debug().make(), a()) else { return };
    opens_a_library(&program, &library);
}

pub fn copied_r_debug() -> Work {
    let copied = "#include <link.h>\nextern struct r_debug _r_debug;\n\
                  struct r_debug *seen = &_r_debug;\n";
    Work::program().before(copied).flags(["-fno-pie", "-no-pie"])
}

#[test]
fn a_library_with_addresses_of_its_own_is_found_where_it_is() {
    // As prelink left them: its first address is not 0. The loader puts it there if nothing else
    // is, so that it has no bias; the second of two has one that is not where its image begins.
    let place = "-Wl,-Ttext-segment=0x21000000";
    let library = |name| Work::library(name).flag(place).make();
    let (Some(first), Some(second)) = (library("first"), library("second")) else { return };
    let Some(program) = program_with(["-fPIE", "-pie"]) else { return };
    let mut target = Target::start(&program);
    target.open(&first);
    target.open(&second);
    let snapshot = is_complete(&target);
    let [.., first, second] = &snapshot.namespaces[0].modules[..] else { panic!() };
    assert_eq!(first.bias, 0);
    assert_ne!(second.bias, 0);
    assert_eq!(start(&target, second), second.bias.wrapping_add(0x2100_0000));
    assert!(first.build_id.is_some() && second.build_id.is_some());
    assert_ne!(first.build_id, second.build_id);
}

#[test]
fn a_library_that_is_deleted_is_known_by_its_mapping() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = program_with([]) else { return };
    let Some(library) = Work::library("a").make_in(directory.path()) else { return };
    let mut target = Target::start(&program);
    target.open(&library);
    fs::remove_file(&library).unwrap();
    let snapshot = is_complete(&target);
    let module = snapshot.namespaces[0].modules.last().unwrap();
    assert!(module.is_deleted());
    assert_eq!(module.path(), library.as_os_str().as_bytes());
}

#[test]
fn a_library_that_is_replaced_is_not_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = program_with([]) else { return };
    let Some(library) = Work::library("a").make_in(directory.path()) else { return };
    let Some(other) = Work::library("b").make_in(directory.path()) else { return };
    let mut target = Target::start(&program);
    target.open(&library);
    fs::rename(&other, &library).unwrap();
    // By another name: the loader knows the first already.
    target.open(&directory.path().join(".").join("liba.so"));
    let snapshot = is_complete(&target);
    let [.., old, new] = &snapshot.namespaces[0].modules[..] else { panic!() };
    assert_eq!(old.path(), new.path());
    assert!(old.is_deleted() && !new.is_deleted());
    assert_ne!(old.identity(), new.identity());
    assert_ne!(old.build_id, new.build_id);
}

#[test]
fn a_library_that_is_opened_by_a_relative_path_is_known_by_its_full_one() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = program_with([]) else { return };
    let Some(library) = Work::library("a").make_in(directory.path()) else { return };
    let mut target = Target::start(&program);
    assert_eq!(target.ask(&format!("chdir {}", directory.path().display())), "chdir 0");
    target.open(Path::new("./liba.so"));
    assert_eq!(target.ask("chdir /"), "chdir 0");
    let snapshot = is_complete(&target);
    let module = snapshot.namespaces[0].modules.last().unwrap();
    assert_eq!(module.name.as_deref(), Some(&b"./liba.so"[..]));
    assert_eq!(module.path(), library.as_os_str().as_bytes());
}

#[test]
fn a_program_whose_loader_has_not_run_says_where_to_wait() {
    let Some(program) = program_with([]) else { return };
    // A shell that stops itself, and then becomes the program under the eyes of a watch.
    let Some(setup) = tool("sh") else { return };
    let script = format!("kill -STOP $$; exec {}", program.display());
    let target = Target::of_started(Command::new(setup.0).args(["-c", &script]));
    assert!(target.change(libc::WUNTRACED, libc::WIFSTOPPED));
    crate::events::becomes_the_program(target, &program);
}

fn a() -> Option<PathBuf> {
    Work::library("a").make()
}

/// The program's loader.
pub fn interpreter(program: &Path) -> Option<PathBuf> {
    let bytes = fs::read(program).unwrap();
    let at = bytes.windows(5).position(|window| window == b"/lib6")?;
    let path = bytes[at..].split(|&byte| byte == 0).next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(path)))
}

/// The loader that a program asks for, by its own header.
pub fn loader(program: &Path) -> PathBuf {
    let bytes = fs::read(program).unwrap();
    let image = ElfFile64::<object::Endianness>::parse(&*bytes).unwrap();
    let endian = image.endian();
    let headers = image.elf_program_headers();
    let path = headers.iter().find_map(|it| it.interpreter(endian, &*bytes).unwrap()).unwrap();
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}

/// Gives the entry a tag that nobody knows.
fn hide_dt_debug(bytes: &mut [u8]) -> bool {
    const DT_DEBUG: u64 = 21;
    const UNKNOWN: u64 = 0x6fff_fef0;
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let headers = word(32) as usize;
    let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
    let dynamic =
        (0..count).map(|at| headers + at * 56).find(|&at| bytes[at..at + 4] == [2, 0, 0, 0]);
    let Some(dynamic) = dynamic else { return false };
    let (start, size) = (word(dynamic + 8) as usize, word(dynamic + 32) as usize);
    let Some(entry) = (start..start + size).step_by(16).find(|&at| word(at) == DT_DEBUG) else {
        return false;
    };
    bytes[entry..entry + 8].copy_from_slice(&UNKNOWN.to_le_bytes());
    true
}
