#![allow(unsafe_code, reason = "calls into the libraries that the tests load")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use elf_sections::sys::{self, Module};
use elf_sections::{
    Binding, Expected, Image, LoadCopy, LoadCopyOptions, SegmentKind, plan_load_copy, verdict,
};

use crate::support::{GUEST, Workshop, guests, went_through};

/// A library that is loaded for as long as the value lives.
struct Loaded(*mut c_void);

impl Loaded {
    fn open(path: &Path) -> Loaded {
        Loaded::try_open(path).unwrap()
    }

    fn try_open(path: &Path) -> Result<Loaded, String> {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a C string, and the guests' constructors only count.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure dlerror returns a C string of this thread.
            let error = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(error.to_string_lossy().into_owned());
        }
        Ok(Loaded(handle))
    }

    fn address(&self, name: &CStr) -> usize {
        // SAFETY: the handle is open and the name is a C string.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        address as usize
    }

    fn call(&self, name: &CStr) -> c_int {
        let address = self.address(name);
        // SAFETY: the guests' functions that tests call take nothing and return an int.
        let function: extern "C" fn() -> c_int = unsafe { std::mem::transmute(address) };
        function()
    }

    fn module(&self) -> Module {
        // SAFETY: the handle is open, and `self` keeps it so.
        unsafe { sys::module_by_handle(self.0) }.unwrap()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the handle is open and this closes it once.
        unsafe { libc::dlclose(self.0) };
    }
}

/// A C++ guest with an inline variable and a constructor and destructor that report themselves.
const UNIQUE: &str = r#"
template <class T> struct Storage { static inline int value = 10; };
extern "C" int next_value(void) { return Storage<int>::value++; }
static int constructed;
extern "C" int is_constructed(void) { return constructed; }
struct Counts { Counts() { constructed = 1; } ~Counts() { constructed = 2; } };
static Counts counts;
extern "C" void atexit_like(void) {}
"#;

fn unique_guest(workshop: &Workshop, name: &str, linker: &str) -> Option<(PathBuf, Vec<u8>)> {
    let command = ["g++", linker, "-shared", "-fPIC", "-O1", "-Wl,-z,nodelete"];
    let path = workshop.compile(name, UNIQUE, &command)?;
    let bytes = std::fs::read(&path).unwrap();
    Some((path, bytes))
}

fn staged(
    workshop: &Workshop,
    name: &str,
    bytes: &[u8],
    options: &LoadCopyOptions,
) -> (PathBuf, LoadCopy) {
    let image = Image::parse(bytes).unwrap();
    let copy = plan_load_copy(&image, options).unwrap();
    let mut patched = bytes.to_vec();
    copy.plan.apply(&mut patched).unwrap();
    (workshop.write(name, patched), copy)
}

#[test]
fn copies_have_their_own_unique_variables_and_unload() {
    let workshop = Workshop::new();
    let mut count = 0;
    for linker in ["-fuse-ld=bfd", "-fuse-ld=gold", "-fuse-ld=lld", "-fuse-ld=mold"] {
        let name = format!("guest{linker}.so");
        let Some((_, bytes)) = unique_guest(&workshop, &name, linker) else { continue };
        let options = LoadCopyOptions::default();
        let (first_path, copy) = staged(&workshop, &format!("1-{name}"), &bytes, &options);
        let (second_path, _) = staged(&workshop, &format!("2-{name}"), &bytes, &options);
        assert_eq!(copy.unique_symbols, ["_ZN7StorageIiE5valueE"]);
        assert!(copy.nodelete);

        let first = Loaded::open(&first_path);
        let second = Loaded::open(&second_path);
        assert_eq!([first.call(c"next_value"), first.call(c"next_value")], [10, 11]);
        assert_eq!(second.call(c"next_value"), 10, "{linker}: its own storage");
        let range = first.module().range();
        drop(first);
        assert!(!is_file_mapped(&first_path), "{linker}: the first copy is still mapped");
        assert!(!sys::is_mapped(range).unwrap() || !is_file_mapped(&first_path));
        assert_eq!(second.call(c"next_value"), 11);
        drop(second);
        assert!(!is_file_mapped(&second_path));
        count += 1;
    }
    went_through(count, 4, "guests");
}

/// What the plan is there for: without it glibc does the opposite.
#[cfg(target_env = "gnu")]
#[test]
fn unpatched_copies_share_their_unique_variables_and_stay() {
    let workshop = Workshop::new();
    let Some((_, bytes)) = unique_guest(&workshop, "shared.so", "-fuse-ld=bfd") else { return };
    let (first_path, second_path) =
        (workshop.write("first.so", &bytes), workshop.write("second.so", &bytes));
    let (first, second) = (Loaded::open(&first_path), Loaded::open(&second_path));
    assert_eq!([first.call(c"next_value"), second.call(c"next_value")], [10, 11]);
    drop((first, second));
    assert!(is_file_mapped(&first_path));
}

#[test]
fn deferred_initialisers_are_the_callers_to_run() {
    let workshop = Workshop::new();
    let mut count = 0;
    for linker in ["-fuse-ld=bfd", "-fuse-ld=gold", "-fuse-ld=lld", "-fuse-ld=mold"] {
        let name = format!("guest{linker}.so");
        let Some((_, bytes)) = unique_guest(&workshop, &name, linker) else { continue };
        let options = LoadCopyOptions { defer_initializers: true, ..LoadCopyOptions::default() };
        let (path, copy) = staged(&workshop, &format!("deferred-{name}"), &bytes, &options);
        let guest = Loaded::open(&path);
        assert_eq!(guest.call(c"is_constructed"), 0, "{linker}");
        let module = guest.module();

        let initializers = routines(&module, &copy.initializers.function, &copy.initializers.array);
        assert!(initializers.len() > 1);
        for routine in initializers {
            assert!(module.contains(routine), "{linker}: the array is relocated");
            // SAFETY: the addresses are those of the guest's own initialisers, called once each.
            let routine: extern "C" fn(c_int, *const c_char, *const c_char) =
                unsafe { std::mem::transmute(routine) };
            routine(0, std::ptr::null(), std::ptr::null());
        }
        assert_eq!(guest.call(c"is_constructed"), 1, "{linker}");

        let mut finalizers: Vec<usize> =
            routines(&module, &None, &copy.finalizers.array).into_iter().rev().collect();
        finalizers.extend(routines(&module, &copy.finalizers.function, &None));
        assert!(!finalizers.is_empty());
        for routine in finalizers {
            // SAFETY: the addresses are those of the guest's own finalisers, called once each.
            let routine: extern "C" fn() = unsafe { std::mem::transmute(routine) };
            routine();
        }
        assert_eq!(guest.call(c"is_constructed"), 2, "{linker}: __cxa_finalize ran");
        drop(guest);
        assert!(!is_file_mapped(&path), "{linker}");
        count += 1;
    }
    went_through(count, 4, "guests");
}

#[test]
fn sections_symbols_and_imports_are_where_the_loader_put_them() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &[]) {
        let path = workshop.write("placed.so", &bytes);
        let image = Image::parse(&bytes).unwrap();
        let guest = Loaded::open(&path);
        let module = guest.module();
        assert!(module.matches(&image), "{name}");
        assert_eq!(module.path, path);
        assert_eq!(module.build_id.as_deref(), image.build_id());

        for symbol in [c"counter", c"total", c"zeros", c"pointer"] {
            let stored = image.exported(symbol.to_str().unwrap()).unwrap();
            let address = guest.address(symbol);
            assert_eq!(module.address(stored.address), address, "{name} {symbol:?}");
            let section = image.section_at(stored.address).unwrap();
            let range = sys::locate(&module, section);
            assert!(range.start <= address && address + stored.size as usize <= range.end);
        }
        let state = image.sections_named(".state").next().unwrap();
        let range = sys::locate(&module, state);
        assert!(range.contains(&guest.address(c"counter")));
        assert!(range.contains(&guest.address(c"total")));
        assert_eq!(guest.address(c"zeros") % 64, 0);

        // Every relocated word that needs no symbol holds the bias plus something of the module.
        for address in image.relocation_targets(
            image.section_at(image.exported("pointer").unwrap().address).unwrap().range(),
        ) {
            let pointer = module.address(address) as *const usize;
            // SAFETY: a relocation's target lies in a segment that the loader has mapped.
            assert_eq!(unsafe { pointer.read() }, guest.address(c"counter"), "{name}");
        }
        let protected = image.relro().map(|it| module.address(it.start)..module.address(it.end));
        for range in protected.into_iter().filter(|it| !it.is_empty()) {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let permissions = |address: usize| {
                maps.lines().find_map(|line| {
                    let (range, rest) = line.split_once(' ')?;
                    let (start, end) = range.split_once('-')?;
                    let start = usize::from_str_radix(start, 16).ok()?;
                    let end = usize::from_str_radix(end, 16).ok()?;
                    (start..end).contains(&address).then(|| rest[..4].to_owned())
                })
            };
            assert_eq!(permissions(range.start).as_deref(), Some("r--p"), "{name}");
            assert_eq!(permissions(range.end - 1).as_deref(), Some("r--p"), "{name}");
            assert_ne!(permissions(range.end).as_deref(), Some("r--p"), "{name}");
        }
    }
}

#[test]
fn imports_are_the_slots_that_lead_to_other_images() {
    let workshop = Workshop::new();
    let source = "#include <stdlib.h>
        static void *(*volatile taken)(size_t) = malloc;
        void *take(void) { return taken(1); }
        int calls(void) { free(malloc(8)); return 1; }";
    for flags in [&["-Wl,-z,now"][..], &["-Wl,-z,lazy"], &["-fno-plt"]] {
        let command: Vec<&str> =
            ["gcc", "-shared", "-fPIC", "-O0"].iter().chain(flags).copied().collect();
        let Some(path) = workshop.compile("imports.so", source, &command) else { return };
        let bytes = std::fs::read(&path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let copy = workshop.write(&format!("{}.so", flags[0]), &bytes);
        let guest = Loaded::open(&copy);
        let module = guest.module();
        let slots = image.imports("malloc");
        assert_eq!(slots.len(), 2, "a pointer and a call: {slots:x?}");
        for slot in slots {
            let slot = module.address(slot) as *const usize;
            // SAFETY: a relocation's target lies in a segment that the loader has mapped.
            assert_eq!(unsafe { slot.read() }, libc::malloc as *const () as usize);
        }
        assert!(image.imports("no_such_function").is_empty());
    }
}

#[test]
fn this_program_is_the_first_module_and_contains_its_code() {
    let modules = sys::modules();
    let here = this_program_is_the_first_module_and_contains_its_code as fn() as usize;
    assert!(modules[0].contains(here));
    let found = sys::module_of_address(here).unwrap();
    assert_eq!(found, modules[0]);
    // By its path: under an emulator /proc/self/exe may be the emulator.
    let path = std::env::current_exe().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(found.matches(&Image::parse(&bytes).unwrap()));
    let metadata = std::fs::metadata(&path).unwrap();
    let identity = found.file_identity().unwrap();
    assert_eq!(identity.inode, metadata.ino());
    assert!(!identity.is_deleted);
    assert!(found.is_file(identity.device, metadata.ino()).unwrap());
    assert!(!found.is_file(identity.device, metadata.ino() + 1).unwrap());
    assert_eq!(sys::module_of_address(0), None);
    assert!(modules.iter().all(|it| it.segments.iter().any(|it| it.kind == SegmentKind::LOAD)));
}

#[test]
fn a_module_knows_its_file_after_that_is_replaced_or_gone() {
    let workshop = Workshop::new();
    let Some(bytes) = workshop.guest("gone.so", &["gcc"]) else { return };
    let Some(other) = workshop.guest("other.so", &["gcc", "-DOTHER", "-O0"]) else { return };
    let path = workshop.path("gone.so");
    let inode = std::fs::metadata(&path).unwrap().ino();
    let before = sys::generation();
    let guest = Loaded::open(&path);
    assert!(sys::generation().loaded > before.loaded);
    let module = guest.module();

    std::fs::rename(workshop.path("other.so"), &path).unwrap();
    let identity = module.file_identity().unwrap();
    assert_eq!(identity.inode, inode);
    assert!(identity.is_deleted);
    assert!(identity.path.as_bytes().ends_with(b"gone.so"));
    assert!(module.matches(&Image::parse(&bytes).unwrap()));
    assert!(!module.matches(&Image::parse(&other).unwrap()));

    let mapped = sys::mappings_of(identity.device, inode).unwrap();
    assert!(mapped.iter().any(|range| range.start == module.range().start));
    let before = sys::generation();
    drop(guest);
    assert!(sys::generation().unloaded > before.unloaded);
    assert!(sys::mappings_of(identity.device, inode).unwrap().is_empty());
}

/// The loader itself is the judge: whatever is damaged, an image that is called complete may be
/// refused by it, and never makes it fault.
#[test]
fn no_damaged_image_that_is_called_complete_makes_the_loader_fault() {
    let workshop = Workshop::new();
    let Some(mut probe) = Probe::new(&workshop) else { return };
    let mut tried = 0;
    let mut faults = Vec::new();
    for command in [
        // With libraries there are versions to be damaged.
        &["gcc", "-fuse-ld=bfd", "-shared", "-fPIC"][..],
        &["gcc", "-fuse-ld=bfd", "-shared", "-fPIC", "-nostdlib", "-Wl,--hash-style=sysv"],
        &["gcc", "-fuse-ld=gold", "-shared", "-fPIC", "-nostdlib"],
        &["clang", "-fuse-ld=lld", "-shared", "-fPIC", "-nostdlib", "-Wl,--pack-dyn-relocs=relr"],
        &["gcc", "-fuse-ld=mold", "-shared", "-fPIC", "-nostdlib"],
    ] {
        let Some(path) = workshop.compile("damaged.so", GUEST, command) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let whole = deferred(&bytes).unwrap();
        assert_eq!(probe.load(&whole), Answer::Loaded, "{command:?}");
        for (what, damaged) in damages(&bytes) {
            // The initialisers are the guest's code, which a verdict says nothing about.
            let Some(copy) = deferred(&damaged) else { continue };
            tried += 1;
            if let Answer::Fault(code) = probe.load(&copy) {
                faults.push(format!("{command:?}: {what}: {code}"));
            }
        }
        assert!(tried > 100, "{command:?}: {tried}");
    }
    eprintln!("{tried} damaged images were called complete, and the loader survived them");
    assert!(faults.is_empty(), "{} of {tried}:\n{}", faults.len(), faults.join("\n"));
}

/// Zeros in pages and in parts of them, and values that are likely to hurt in every word of the
/// headers and of what the loader reads.
fn damages(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut damages = Vec::new();
    for size in [4096, 512, 64] {
        for start in (0..bytes.len()).step_by(size) {
            let mut damaged = bytes.to_vec();
            let end = damaged.len().min(start + size);
            damaged[start..end].fill(0);
            damages.push((format!("zeros at {start:#x}..{end:#x}"), damaged));
        }
    }
    let image = Image::parse(bytes).unwrap();
    let dynamic = image.segment(SegmentKind::DYNAMIC).unwrap();
    let code = image.segments().iter().find(|it| it.permissions.is_executable()).unwrap();
    let tables = 0..code.offset as usize;
    let tables = if tables.is_empty() { 0..bytes.len().min(0x800) } else { tables };
    let dynamic = dynamic.offset as usize..(dynamic.offset + dynamic.file_size) as usize;
    for start in tables.chain(dynamic).step_by(4) {
        let Some(old) = bytes.get(start..start + 4) else { break };
        let old = u32::from_le_bytes(old.try_into().unwrap());
        for new in [0, old.wrapping_add(1), old ^ 0x10, 0x7fff_0000] {
            let mut damaged = bytes.to_vec();
            damaged[start..start + 4].copy_from_slice(&new.to_le_bytes());
            if new != old {
                damages.push((format!("{old:#x} at {start:#x} became {new:#x}"), damaged));
            }
        }
    }
    damages
}

/// The copy that would be loaded, if the image is called complete.
fn deferred(bytes: &[u8]) -> Option<Vec<u8>> {
    let expected = Expected { entry: Some("cr_main"), ..Expected::native() };
    let image = verdict(bytes, &expected).complete()?;
    let options = LoadCopyOptions { defer_initializers: true, ..LoadCopyOptions::default() };
    let copy = plan_load_copy(&image, &options).unwrap();
    let mut patched = bytes.to_vec();
    copy.plan.apply(&mut patched).unwrap();
    let patched_image = Image::parse(&patched).unwrap();
    assert!(
        patched_image.dynamic_symbols().all(|it| it.binding != Binding::Unique || !it.is_defined())
    );
    Some(patched)
}

/// A process that loads what it is told to, in a child of its own each time.
struct Probe {
    process: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
    image: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Loaded,
    Refused,
    Fault(i32),
}

impl Probe {
    const SOURCE: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **arguments) {
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            void *handle = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
            if (handle) { dlsym(handle, "cr_main"); dlsym(handle, "no_such_symbol"); dlclose(handle); }
            _exit(handle ? 0 : 1);
        }
        waitpid(child, &status, 0);
        printf("%d\n", WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status));
        fflush(stdout);
    }
    return 0;
}
"#;

    fn new(workshop: &Workshop) -> Option<Probe> {
        let program = workshop.compile("probe", Probe::SOURCE, &["gcc", "-O1", "-ldl"])?;
        let image = workshop.path("probed.so");
        let mut process = Command::new(program)
            .arg(&image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Some(Probe { process, answers, image })
    }

    fn load(&mut self, bytes: &[u8]) -> Answer {
        std::fs::write(&self.image, bytes).unwrap();
        self.process.stdin.as_mut().unwrap().write_all(b"load\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        match line.trim().parse().unwrap() {
            0 => Answer::Loaded,
            1 => Answer::Refused,
            // The loader's own assertions end the process with 127.
            code => Answer::Fault(code),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// The addresses to call: the function, then the array as it stands in memory.
fn routines(
    module: &Module,
    function: &Option<u64>,
    array: &Option<std::ops::Range<u64>>,
) -> Vec<usize> {
    let mut routines: Vec<usize> = function.iter().map(|&it| module.address(it)).collect();
    let words = array.iter().flat_map(|range| range.clone().step_by(size_of::<usize>()));
    routines.extend(words.map(|word| {
        // SAFETY: the array lies in a segment that the loader has mapped and relocated.
        unsafe { (module.address(word) as *const usize).read() }
    }));
    routines
}

fn is_file_mapped(path: &Path) -> bool {
    let metadata = std::fs::metadata(path).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let by_path = maps.lines().any(|line| line.ends_with(path.to_str().unwrap()));
    let by_identity = !sys::mappings_of(metadata.dev(), metadata.ino()).unwrap().is_empty();
    assert_eq!(by_path, by_identity);
    by_path
}
