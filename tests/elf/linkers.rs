use std::path::Path;

use elf_sections::{Image, Reason, SegmentKind, Source, sys};
use reloader_tests::{missing, went_through};

use crate::loaded::{Loaded, Said};
use crate::workshop::Workshop;

const FRONT: &str = r#"
#include <stddef.h>
#ifdef __cplusplus
#define GUEST extern "C"
#else
#define GUEST
#endif
typedef void say(const char *what, const void *address, size_t size);
#define SAY(what, it) (*said)(what, (const void *)&(it), sizeof(it))
#define STATE __attribute__((section(".state"), used))
"#;

/// What each is about, and its source.
const SOURCES: [(&str, &str, bool); 6] = [
    (
        "plain",
        r#"
static int STATE counter = 3; static long STATE total = 4;
static int zeros[64]; static int one = 1; static const char *name = "one";
GUEST void tell(say *said) {
    zeros[3]++; one++; name++;
    SAY("state", counter); SAY("state", total); SAY("bss", zeros); SAY("variable", one);
    SAY("pointer", name);
}"#,
        false,
    ),
    (
        "aligned",
        r#"
static int STATE counter = 3;
static char lonely[1]; __attribute__((aligned(4096))) static char page[4096];
__attribute__((aligned(64))) static int line[16]; static short odd[3] = {1};
GUEST void tell(say *said) {
    lonely[0]++; page[1]++; line[1]++; odd[1]++;
    SAY("state", counter); SAY("bss", lonely); SAY("bss", page); SAY("bss", line);
    SAY("variable", odd);
}"#,
        false,
    ),
    (
        "threads",
        r#"
static int STATE counter = 3;
__thread int each = 5; __thread int each_zero[1000]; static int behind[16] = {1}; static int zero;
GUEST void tell(say *said) {
    each++; each_zero[1]++; behind[1]++; zero++;
    SAY("state", counter); SAY("thread", each); SAY("thread", each_zero);
    SAY("variable", behind); SAY("bss", zero);
}"#,
        false,
    ),
    (
        "pointers",
        r#"
static int STATE counter = 3; static int *STATE to_counter = &counter;
static int *many[200] = { [0 ... 150] = &counter, [199] = &counter };
static struct { long n; int *p; } mixed[4] = { {1, &counter}, {2, 0}, {3, &counter}, {4, 0} };
static const char *const names[] = { "one", "two", "three" };
GUEST void tell(say *said) {
    many[160] = &counter; mixed[1].n++;
    SAY("state", counter); SAY("state-pointer", to_counter); SAY("pointer", many[0]);
    SAY("pointer", many[199]); SAY("variable", many[160]); SAY("variable", mixed[0].n);
    SAY("pointer", mixed[2].p); SAY("variable", mixed[3].p); SAY("constant", names);
}"#,
        false,
    ),
    (
        "custom",
        r#"
static int STATE counter = 3;
__attribute__((section("my_state"), used)) static long mine[5] = {1};
extern char __start_my_state[] __attribute__((visibility("hidden")));
extern char __stop_my_state[] __attribute__((visibility("hidden")));
static int after[7] = {1}; static int zeros[9];
GUEST void tell(say *said) {
    mine[1]++; after[1]++; zeros[1]++;
    SAY("state", counter); SAY("variable", mine); SAY("variable", after); SAY("bss", zeros);
    (*said)("my_state", __start_my_state, __stop_my_state - __start_my_state);
}"#,
        false,
    ),
    (
        "objects",
        r#"
#include <string>
#include <vector>
struct Base { virtual ~Base() {} virtual int f() { return 1; } int x = 0; };
struct Derived : Base { int f() override { return 2; } int y = 7; };
static int STATE counter = 3;
static std::string text = "a text of the guest's"; static std::vector<int> numbers{1, 2, 3};
static Derived object; static int flag = 5;
GUEST void tell(say *said) {
    text += "!"; numbers.push_back(object.f()); flag++;
    SAY("state", counter); SAY("variable", flag); SAY("bss", text); SAY("bss", numbers);
    SAY("variable", object.y);
}"#,
        true,
    ),
];

/// Name, C compiler, C++ compiler, and flags.
const TOOLCHAINS: [(&str, &str, &str, &[&str]); 7] = [
    ("gcc, GNU ld", "gcc", "g++", &["-fuse-ld=bfd"]),
    ("gcc, gold", "gcc", "g++", &["-fuse-ld=gold"]),
    ("gcc, mold", "gcc", "g++", &["-fuse-ld=mold"]),
    ("clang, GNU ld, packed", "clang", "clang++", &["-fuse-ld=bfd", "-Wl,-z,pack-relative-relocs"]),
    ("clang, lld", "clang", "clang++", &["-fuse-ld=lld"]),
    ("clang, lld, writable", "clang", "clang++", &["-fuse-ld=lld", "-Wl,-z,norelro"]),
    ("clang, mold, bound at once", "clang", "clang++", &["-fuse-ld=mold", "-Wl,-z,now"]),
];

#[test]
fn variables_are_where_the_running_guest_says_they_are() {
    let workshop = Workshop::new();
    let mut count = 0;
    for (number, (made_by, c, cxx, flags)) in TOOLCHAINS.iter().enumerate() {
        for (about, source, is_cxx) in SOURCES {
            let compiler = if is_cxx { cxx } else { c };
            let mut command = vec![*compiler, "-shared", "-fPIC", "-O1"];
            command.extend(*flags);
            let name = format!("{about}-{number}.so");
            let source = format!("{FRONT}{source}");
            let Some(path) = workshop.compile(&name, &source, &command) else { continue };
            check(&format!("{about}, {made_by}"), &path);
            count += 1;
        }
    }
    count += usize::from(mixed_inputs(&workshop));
    went_through(count, 43, "guests");
}

/// One object has the section with bytes and one without, and GNU ld keeps two of a name.
fn mixed_inputs(workshop: &Workshop) -> bool {
    let zeros = r#"asm(".section .state2,\"aw\",@nobits\n.globl zeros\nzeros:.zero 64\n.text");"#;
    let Some(first) = workshop.compile("zeros.o", zeros, &["gcc", "-c", "-fPIC"]) else {
        return false;
    };
    let source = format!(
        r#"{FRONT}
static int STATE counter = 3; __attribute__((section(".state2"))) int valued[4] = {{1}};
extern char zeros[64] __attribute__((visibility("hidden")));
GUEST void tell(say *said) {{ zeros[1]++; SAY("state", counter); SAY("variable", valued); SAY("variable", zeros); }}"#
    );
    let command = ["gcc", "-fuse-ld=bfd", "-shared", "-fPIC", first.to_str().unwrap()];
    let Some(path) = workshop.compile("mixed.so", &source, &command) else { return false };
    check("mixed inputs", &path);
    true
}

fn check(guest: &str, path: &Path) {
    let loaded = Loaded::open(path).unwrap();
    let told = loaded.told();
    let module = loaded.module();
    let source = Source::new(std::fs::File::open(path).unwrap()).unwrap();
    let image = source.image().unwrap();
    assert!(module.matches(&image), "{guest}");
    let state: Vec<_> = image.sections_named(".state").collect();
    let [state] = state[..] else { panic!("{guest}: {state:?}") };
    let place = sys::locate(&module, state);
    let of_state: Vec<&Said> = told.iter().filter(|it| it.what.starts_with("state")).collect();
    // The guest names all of its state, so that the section starts and ends with it.
    assert_eq!(of_state.iter().map(|it| it.start).min(), Some(place.start), "{guest}");
    assert_eq!(of_state.iter().map(|it| it.start + it.size).max(), Some(place.end), "{guest}");

    let writable = image.writable();
    let relro = image.relro_segment().unwrap_or(0..0);
    let mut has_bss = false;
    for Said { what, start, size } in &told {
        let address = start.wrapping_sub(module.bias) as u64;
        let all = address..address + *size as u64;
        let is_variable = all.clone().all(|byte| writable.contains(byte));
        let section = image.section_at(address).map(|it| String::from_utf8_lossy(it.name));
        let what = what.as_str();
        let seen = format!("{guest}: {what} at {address:#x} in {section:?}: {writable:x?}");
        match what {
            "state" => assert!(is_variable && section.as_deref() == Some(".state"), "{seen}"),
            "variable" => assert!(is_variable, "{seen}"),
            "bss" => {
                has_bss = true;
                assert!(is_variable && section.as_deref() == Some(".bss"), "{seen}");
                let bss = sys::locate(&module, image.sections_named(".bss").next().unwrap());
                assert!(bss.contains(start) && start + size <= bss.end, "{seen}");
            }
            "pointer" | "state-pointer" => {
                assert_eq!(writable.exclusion_at(address), Some(Reason::RelocatedWord), "{seen}");
            }
            "constant" => {
                assert!(!all.clone().any(|byte| writable.contains(byte)), "{seen}");
                assert!(relro.is_empty() || relro.contains(&address), "{seen}");
            }
            "thread" => {
                let range = module.range();
                assert!(!range.contains(start), "{seen}");
                assert!(writable.thread_local.as_ref().is_some_and(|it| it.size >= 4004), "{seen}");
            }
            "my_state" => {
                let section = image.sections_named("my_state").next().unwrap();
                assert_eq!(sys::locate(&module, section), *start..start + size, "{seen}");
            }
            _ => unreachable!("{what}"),
        }
    }
    assert!(has_bss || guest.contains("pointers") || guest.contains("mixed"), "{guest}");
    is_protected_as_said(guest, &image, &module);
}

/// What the kernel says of this process's memory.
fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").unwrap()
}

/// Whether a byte of this process may be written to, by these maps.
fn may_write(maps: &str, address: usize) -> bool {
    maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let hex = |digits| usize::from_str_radix(digits, 16).unwrap();
        (hex(start)..hex(end)).contains(&address) && rest.starts_with("rw")
    })
}

/// What the loader has made read-only is what is excluded for it, to the page; all variables are
/// writable still.
fn is_protected_as_said(guest: &str, image: &Image<'_>, module: &sys::Module) {
    let (writable, maps) = (image.writable(), maps());
    for range in &writable.variables {
        for address in [range.start, range.end - 1] {
            assert!(may_write(&maps, module.address(address)), "{guest}: {address:#x}");
        }
    }
    if let Some(relro) = image.relro().filter(|relro| !relro.is_empty()) {
        for address in [relro.start, relro.end - 1] {
            assert!(!may_write(&maps, module.address(address)), "{guest}: {address:#x}");
        }
    }
}

/// The loader rounds both ends down, and so protects less than the header says. What it leaves in
/// that part is no variable for all that.
#[test]
fn where_the_protected_part_ends_within_a_page_only_whole_pages_are_protected() {
    if !cfg!(target_pointer_width = "64") {
        return missing("a 64-bit compiler is missing");
    }
    let workshop = Workshop::new();
    let source = "static const char *const names[2000] = { [0 ... 1999] = \"name\" }; int own = 3;
                  const char *value(void) { return names[own]; }";
    let mut count = 0;
    for linker in ["bfd", "gold", "lld", "mold"] {
        let with = format!("-fuse-ld={linker}");
        let command = ["gcc", "-shared", "-fPIC", "-Wl,-z,now", with.as_str()];
        let Some(path) = workshop.compile("cut.so", source, &command) else { continue };
        let mut bytes = std::fs::read(&path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let index = image.segments().iter().position(|it| it.kind == SegmentKind::GNU_RELRO);
        let whole = image.segments()[index.unwrap()].range();
        // `p_memsz` of the program header: the end is moved into the middle of a page.
        let at = image.header().program_headers as usize + 56 * index.unwrap() + 40;
        let end = ((whole.end - 1) & !0xfff) - 0x800;
        bytes[at..at + 8].copy_from_slice(&(end - whole.start).to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image.relro_segment(), Some(whole.start..end), "{linker}");
        assert_eq!(image.relro(), Some(whole.start & !0xfff..end & !0xfff), "{linker}");
        let writable = image.writable();
        assert!(!writable.contains(end - 1) && writable.exclusion_at(end - 1).is_some());
        let loaded = Loaded::open(&path).unwrap();
        is_protected_as_said(linker, &image, &loaded.module());
        let rest = loaded.module().address(end & !0xfff);
        assert!(may_write(&maps(), rest), "{linker}: {rest:#x}");
        drop(loaded);
        std::fs::remove_file(path).unwrap();
        count += 1;
    }
    went_through(count, 4, "libraries");
}

#[test]
fn a_program_has_its_copies_of_a_librarys_variables_flagged() {
    let workshop = Workshop::new();
    let library = "int shared[8] = {1, 2}; int other;";
    let command = ["gcc", "-shared", "-fPIC"];
    let Some(library) = workshop.compile("liba.so", library, &command) else { return };
    let mut count = 0;
    let program = "extern int shared[8], other; int own = 3;
                   int main(void) { return shared[1] + other + own == 5 ? 0 : 1; }";
    for linker in ["bfd", "gold", "lld", "mold"] {
        let linker = format!("-fuse-ld={linker}");
        let flags =
            ["gcc", "-no-pie", "-fno-pie", "-O0", linker.as_str(), library.to_str().unwrap()];
        let Some(path) = workshop.compile("program", program, &flags) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let index = image.symbol_index();
        let writable = image.writable();
        for name in [&b"shared"[..], b"other"] {
            let symbol = index.named(name).find(|it| it.address != 0).unwrap();
            for byte in symbol.address..symbol.address + symbol.size {
                let reason = writable.exclusion_at(byte);
                assert_eq!(reason, Some(Reason::CopyRelocated), "{linker} {symbol:?}");
            }
        }
        let own = index.named(b"own").next().unwrap();
        assert!(writable.contains(own.address), "{linker}");
        assert_eq!(index.at(own.address + 3).unwrap().name, b"own", "{linker}");
        count += 1;
    }
    went_through(count, 4, "programs");
}

#[test]
fn what_the_start_files_keep_is_no_variable_of_the_program() {
    let workshop = Workshop::new();
    let mut count = 0;
    let source = "#include <string>\nstd::string text; int text_size; extern \"C\" int f() { return text_size = (int)text.size(); }";
    for linker in ["bfd", "gold", "lld", "mold"] {
        let linker = format!("-fuse-ld={linker}");
        let command = ["g++", "-shared", "-fPIC", linker.as_str()];
        let Some(path) = workshop.compile("start.so", source, &command) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let (index, writable) = (image.symbol_index(), image.writable());
        let completed = index.symbols().iter().find(|it| it.name.starts_with(b"completed."));
        let completed = completed.unwrap();
        assert_eq!(completed.file, Some(&b"crtstuff.c"[..]));
        assert_eq!(writable.exclusion_at(completed.address), Some(Reason::LoaderData), "{linker}");
        let handle = index.named(b"__dso_handle").next().unwrap();
        assert_eq!(writable.exclusion_at(handle.address), Some(Reason::LoaderData), "{linker}");
        let text = index.named(b"text_size").next().unwrap();
        assert!(writable.contains(text.address), "{linker}");
        count += 1;
    }
    went_through(count, 4, "libraries");
}
