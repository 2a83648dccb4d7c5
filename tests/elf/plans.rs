use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use elf_sections::{
    Changes, DebugLink, Expected, Image, Kind, SegmentKind, Tag, debug_link_checksum, plan_changes,
    verdict,
};
use patch_plan::{Plan, WriteOptions};
use reloader_tests::{missing, tool, went_through};

use crate::elflint::new_complaints;
use crate::loaded::Loaded;
use crate::workshop::{Workshop, printed, succeed};

const LINKERS: [&str; 4] = ["bfd", "gold", "lld", "mold"];

/// A library that needs another one, by versions; both give a number.
struct Pair {
    needed: PathBuf,
    library: PathBuf,
}

fn pair(workshop: &Workshop, compiler: &str, linker: &str) -> Option<Pair> {
    let script = workshop.write("versions", "DEP_1 { global: dep_value; local: *; };");
    let linker = format!("-fuse-ld={linker}");
    let version = format!("-Wl,--version-script={}", script.display());
    let needed = workshop.compile(
        "libdep.so",
        "int dep_value(void) { return 40; }",
        &[compiler, "-shared", "-fPIC", &linker, &version, "-Wl,-soname,libdep.so"],
    )?;
    let source = "extern int dep_value(void); int zeros[5000]; int own = 2; int *to_own = &own;
                  __attribute__((constructor)) static void start(void) { zeros[4999] = 1; }
                  int value(void) { return dep_value() + *to_own + zeros[4999] - 1; }";
    let library = workshop.compile(
        "libown.so",
        source,
        &[
            compiler,
            "-shared",
            "-fPIC",
            &linker,
            needed.to_str()?,
            "-Wl,-soname,libown.so,--build-id",
            "-Wl,-rpath,$ORIGIN",
            "-Wl,--enable-new-dtags",
        ],
    )?;
    Some(Pair { needed, library })
}

fn planned(path: &Path, changes: &Changes<'_>) -> Plan {
    let bytes = std::fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let plan = plan_changes(&image, changes).unwrap_or_else(|it| panic!("{changes:?}: {it}"));
    let mut changed = bytes.clone();
    plan.apply_to_vec(&mut changed).unwrap();
    plan.invert().apply_to_vec(&mut changed).unwrap();
    assert!(changed == bytes);
    plan
}

pub fn write(path: &Path, target: &Path, changes: &Changes<'_>) -> Vec<u8> {
    planned(path, changes).write_file(path, target, &WriteOptions::default()).unwrap();
    std::fs::read(target).unwrap()
}

pub fn long(start: &str, length: usize) -> Vec<u8> {
    format!("{start}{}", "x".repeat(length)).into_bytes()
}

/// readelf and eu-elflint find nothing that they did not find before.
pub fn is_well_formed(before: &Path, after: &Path, what: &str) {
    if let Some(added) = new_complaints(before, after) {
        assert_eq!(added, [""; 0], "{what}");
    }
    let bytes = std::fs::read(after).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let is_library = image.header().kind == Kind::SharedObject && !image.is_pie();
    if is_library {
        assert_eq!(verdict(&bytes, &Expected::like(image.header())).reason(), None, "{what}");
    }
    if tool("readelf").is_some() {
        let read = |path: &Path| {
            let flags = ["-WlSdsrnV", "--hex-dump=.dynstr"];
            let output = Command::new("readelf").args(flags).arg(path).output().unwrap();
            assert!(output.status.success());
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        assert_eq!(
            read(before).replace(before.to_str().unwrap(), ""),
            read(after).replace(after.to_str().unwrap(), ""),
            "{what}"
        );
    }
}

/// Changes that take each of the ways to find room.
fn kinds_of_changes() -> Vec<(&'static str, Changes<'static>)> {
    let none = Changes::default;
    vec![
        ("a shorter name", Changes { soname: Some(b"libo.so".to_vec()), ..none() }),
        ("a longer name", Changes { soname: Some(long("lib", 40)), ..none() }),
        ("a name longer than a page", Changes { soname: Some(long("lib", 5000)), ..none() }),
        ("a run path", Changes { runpath: Some(b"$ORIGIN:/another/place".to_vec()), ..none() }),
        ("one library more", Changes { add_needed: vec![b"libm.so.6".to_vec()], ..none() }),
        (
            "twenty libraries more",
            // The same one under twenty names that all exist.
            Changes { add_needed: vec![b"libm.so.6".to_vec(); 20], ..none() },
        ),
        (
            "everything",
            Changes {
                soname: Some(long("lib", 300)),
                runpath: Some([b"$ORIGIN:".to_vec(), long("/", 6000)].concat()),
                add_needed: vec![b"libm.so.6".to_vec(), b"libdl.so.2".to_vec()],
                build_id: Some(vec![0xab; 20]),
                debug_link: Some(DebugLink { file_name: b"own.debug", checksum: 0x1234_5678 }),
                localize_unique: true,
                allow_unload: true,
                ..none()
            },
        ),
    ]
}

#[test]
fn changed_libraries_load_and_tools_read_them() {
    let workshop = Workshop::new();
    let mut loaded = 0;
    for compiler in ["gcc", "clang"] {
        for linker in LINKERS {
            let Some(pair) = pair(&workshop, compiler, linker) else { continue };
            for (what, mut changes) in kinds_of_changes() {
                let what = format!("{what}, {compiler}, {linker}");
                let original = std::fs::read(&pair.library).unwrap();
                let build_id = Image::parse(&original).unwrap().build_id().map(<[u8]>::len);
                if let Some(new) = &mut changes.build_id {
                    new.resize(build_id.unwrap(), 0xcd);
                }
                let target = workshop.path("libchanged.so");
                let bytes = write(&pair.library, &target, &changes);
                let image = verdict(&bytes, &Expected::native());
                assert_eq!(image.reason(), None, "{what}");
                let image = image.complete().unwrap();
                if let Some(soname) = &changes.soname {
                    assert_eq!(image.soname(), Some(&soname[..]), "{what}");
                }
                let all: Vec<Vec<u8>> = image.needed().map(<[u8]>::to_vec).collect();
                assert!(all.ends_with(&changes.add_needed), "{what}");
                is_well_formed(&pair.library, &target, &what);
                shows(&target, &changes, &what);
                let library = Loaded::open(&target).unwrap_or_else(|it| panic!("{what}: {it}"));
                assert_eq!(library.call(c"value"), 42, "{what}");
                assert!(library.module().matches(&image), "{what}");
                drop(library);
                std::fs::remove_file(target).unwrap();
                loaded += 1;
            }
            std::fs::remove_file(pair.library).unwrap();
        }
    }
    went_through(loaded, 56, "changed libraries");
}

/// What readelf makes of the changes.
fn shows(target: &Path, changes: &Changes<'_>, what: &str) {
    let Some(text) = printed("readelf", &["-dnW"], target) else { return };
    let has = |line: &str| assert!(text.contains(line), "{what}: no {line} in {text}");
    if let Some(soname) = &changes.soname {
        has(&format!("Library soname: [{}]", String::from_utf8_lossy(soname)));
    }
    if let Some(runpath) = &changes.runpath {
        has(&format!("Library runpath: [{}]", String::from_utf8_lossy(runpath)));
    }
    if let Some(build_id) = &changes.build_id {
        let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        has(&format!("Build ID: {hex}"));
    }
    if changes.debug_link.is_some() {
        let text = printed("readelf", &["--string-dump=.gnu_debuglink"], target).unwrap();
        assert!(text.contains("own.debug"), "{what}: {text}");
    }
}

#[test]
fn a_needed_library_is_found_under_its_new_name_and_its_versions_follow() {
    let workshop = Workshop::new();
    let mut count = 0;
    for linker in LINKERS {
        for name in ["libd.so", "libdep-under-a-name-that-is-longer-than-it-was.so"] {
            let Some(pair) = pair(&workshop, "gcc", linker) else { continue };
            let renamed = workshop.path(name);
            let new = name.as_bytes().to_vec();
            let changes = Changes { soname: Some(new.clone()), ..Changes::default() };
            write(&pair.needed, &renamed, &changes);
            std::fs::remove_file(&pair.needed).unwrap();
            let replace_needed = vec![(b"libdep.so".to_vec(), new)];
            let target = workshop.path("libuses.so");
            let changes = Changes { replace_needed, ..Changes::default() };
            let bytes = write(&pair.library, &target, &changes);
            let image = Image::parse(&bytes).unwrap();
            assert!(image.needed().any(|it| it == name.as_bytes()));
            let versions = image.symbol_versions();
            let mut libraries = versions.iter().filter_map(|(_, library)| library);
            assert!(libraries.any(|it| it == name.as_bytes()), "{linker}");
            is_well_formed(&pair.library, &target, linker);
            let library = Loaded::open(&target).unwrap();
            assert_eq!(library.call(c"value"), 42, "{linker} {name}");
            drop(library);
            for path in [&renamed, &target, &pair.library] {
                std::fs::remove_file(path).unwrap();
            }
            count += 1;
        }
    }
    went_through(count, 8, "changed libraries");
}

/// Programs of all kinds, which find their program headers through the kernel.
#[test]
fn changed_programs_run() {
    let workshop = Workshop::new();
    let source = "#define _GNU_SOURCE\n#include <link.h>\n#include <stdio.h>\nstatic int zeros[30000]; static int one = 1;
        static int look(struct dl_phdr_info *info, size_t size, void *data) {
            for (int i = 0; i < info->dlpi_phnum; i++)
                if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) ++*(int *)data;
            return 1;
        }
        int main(int argc, char **argv) {
            int found = 0; dl_iterate_phdr(look, &found); zeros[argc] = one;
            printf(\"%d %d\\n\", found, zeros[1]); return found - 1; }";
    let kinds: [&[&str]; 3] =
        [&["-pie", "-fPIE"], &["-no-pie", "-fno-pie"], &["-pie", "-fPIE", "-g3"]];
    let mut count = 0;
    for linker in LINKERS {
        for flags in kinds {
            let linker = format!("-fuse-ld={linker}");
            let mut command = vec!["gcc", linker.as_str()];
            command.extend(flags);
            let Some(path) = workshop.compile("program", source, &command) else { continue };
            for (what, mut changes) in kinds_of_changes() {
                changes.soname = None;
                changes.build_id = None;
                let what = format!("{what}, {command:?}");
                let target = workshop.path("changed");
                write(&path, &target, &changes);
                is_well_formed(&path, &target, &what);
                let output = succeed(&mut Command::new(&target));
                assert_eq!(output.stdout, b"1 1\n", "{what}");
                std::fs::remove_file(target).unwrap();
                count += 1;
            }
            std::fs::remove_file(path).unwrap();
        }
    }
    went_through(count, 84, "changed programs");
}

#[test]
fn libraries_of_this_machine_load_when_they_are_changed() {
    let workshop = Workshop::new();
    let host = "#include <dlfcn.h>\n#include <stdio.h>\nint main(int argc, char **argv) {
        void *it = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (!it) { puts(dlerror()); return 2; } return 0; }";
    let Some(host) = workshop.compile("host", host, &["gcc"]) else { return };
    let loads = |path: &Path| {
        let output = Command::new(&host).arg(path).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut count = 0;
    let Ok(entries) = std::fs::read_dir("/usr/lib/x86_64-linux-gnu") else {
        return missing("/usr/lib/x86_64-linux-gnu is missing");
    };
    let mut libraries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    libraries.retain(|path| {
        let is_library = path.to_str().is_some_and(|name| name.contains(".so."));
        let metadata = path.symlink_metadata();
        is_library && metadata.is_ok_and(|it| it.is_file() && it.len() < 3 << 20)
    });
    libraries.sort();
    for path in libraries.iter().step_by(libraries.len().div_ceil(40).max(1)) {
        let bytes = std::fs::read(path).unwrap();
        let Ok(image) = Image::parse(&bytes) else { continue };
        if !loads(path).0 || image.dynamic().is_empty() {
            continue;
        }
        let changes = Changes {
            soname: Some(long("libchanged", 70)),
            runpath: Some([image.runpath().unwrap_or(b"$ORIGIN"), b":", &long("/", 80)].concat()),
            add_needed: vec![b"libm.so.6".to_vec()],
            localize_unique: true,
            allow_unload: true,
            ..Changes::default()
        };
        // The loader is among them, and may not be changed so.
        if let Err(elf_sections::Error::SelfRelocating { .. }) = plan_changes(&image, &changes) {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("ld-"), "{name}");
            continue;
        }
        let target = workshop.path("libchanged.so");
        write(path, &target, &changes);
        let (is_loaded, said) = loads(&target);
        assert!(is_loaded, "{}: {said}", path.display());
        is_well_formed(path, &target, path.to_str().unwrap());
        std::fs::remove_file(target).unwrap();
        count += 1;
    }
    went_through(count, 11, "libraries");
}

#[test]
fn a_name_that_fits_and_is_nobody_elses_is_replaced_where_it_is() {
    let workshop = Workshop::new();
    let source = "int own_function(void) { return 1; }";
    let command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libown-with-a-long-name.so"];
    let Some(path) = workshop.compile("libown.so", source, &command) else { return };
    let changes = Changes { soname: Some(b"libo.so".to_vec()), ..Changes::default() };
    let plan = planned(&path, &changes);
    assert!(plan.tail().is_none() && plan.edits().len() == 1, "{}", plan.show());
    // A name that is there already is not written again.
    let same = Changes { soname: Some(b"own_function".to_vec()), ..Changes::default() };
    let plan = planned(&path, &same);
    assert!(plan.tail().is_none() && plan.edits().len() == 1, "{}", plan.show());
    assert!(plan.edits()[0].new.len() <= 8, "{}", plan.show());
    // The end of a symbol's name must not be overwritten.
    let bytes = std::fs::read(&path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let entry = image.dynamic().iter().find(|it| it.tag == Tag::SONAME).unwrap();
    let symbol = image.dynamic_symbols().find(|it| it.name == b"own_function").unwrap();
    let mut shared = bytes.clone();
    let strings = image.dynamic_value(Tag::STRTAB).unwrap();
    let strings = image.offset_of(strings, 1).unwrap() as usize;
    let name = bytes[strings..].windows(13).position(|it| it == b"own_function\0").unwrap();
    shared[entry.offset as usize + 8..][..8].copy_from_slice(&(name as u64 + 4).to_le_bytes());
    let image = Image::parse(&shared).unwrap();
    assert_eq!(image.soname(), Some(&b"function"[..]));
    let plan = plan_changes(&image, &changes).unwrap();
    let mut changed = shared.clone();
    plan.apply_to_vec(&mut changed).unwrap();
    let changed = Image::parse(&changed).unwrap();
    assert_eq!(changed.soname(), Some(&b"libo.so"[..]));
    assert_eq!(changed.dynamic_symbol(symbol.index).unwrap().name, b"own_function");
}

#[test]
fn a_debug_link_leads_gdb_to_the_debugging_information() {
    let workshop = Workshop::new();
    let source = "static int answer = 42; int value(void) { return answer; }";
    let command = ["gcc", "-g", "-shared", "-fPIC", "-Wl,--build-id=none"];
    let Some(path) = workshop.compile("libown.so", source, &command) else { return };
    if tool("objcopy").is_none() || tool("gdb").is_none() {
        return;
    }
    let debug = workshop.path("somewhere.debug");
    let run = |arguments: &[&OsStr]| succeed(Command::new("objcopy").args(arguments));
    run(&["--only-keep-debug".as_ref(), path.as_os_str(), debug.as_os_str()]);
    let stripped = workshop.path("stripped.so");
    run(&["--strip-debug".as_ref(), path.as_os_str(), stripped.as_os_str()]);
    let checksum = debug_link_checksum(0, &std::fs::read(&debug).unwrap());
    let link = DebugLink { file_name: b"somewhere.debug", checksum };
    let linked = workshop.path("linked.so");
    write(&stripped, &linked, &Changes { debug_link: Some(link), ..Changes::default() });
    let commands = ["-batch", "-nx", "-ex", "info line value"];
    let text = succeed(Command::new("gdb").args(commands).arg(&linked));
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("Line 1 of"), "{text}");
    assert_eq!(Loaded::open(&linked).unwrap().call(c"value"), 42);
    // objcopy writes the same, and finds it well.
    let other = workshop.path("other.so");
    let option = format!("--add-gnu-debuglink={}", debug.display());
    run(&[option.as_ref(), stripped.as_os_str(), other.as_os_str()]);
    let other = std::fs::read(other).unwrap();
    assert_eq!(Image::parse(&other).unwrap().debug_link(), Some(link));
    // A second time there is a section already: shorter, and longer.
    for name in [&b"d"[..], b"a-much-longer-name-than-that-of-before.debug"] {
        let again = workshop.path("again.so");
        let link = DebugLink { file_name: name, checksum: 7 };
        let bytes =
            write(&linked, &again, &Changes { debug_link: Some(link), ..Changes::default() });
        assert_eq!(Image::parse(&bytes).unwrap().debug_link(), Some(link));
        is_well_formed(&stripped, &again, "again");
    }
    // A section header that says that the link lies over something else: over the file's header,
    // over the program headers, over code.
    let link = DebugLink { file_name: b"d", checksum: 7 };
    let image = Image::parse(&other).unwrap();
    let text = image.sections_named(".text").next().unwrap().offset;
    let header = image.header().section_headers as usize;
    let index = image.sections_named(".gnu_debuglink").next().unwrap().index as usize;
    for offset in [0, 64, text] {
        let mut lying = other.clone();
        let place = header + index * 64 + 24;
        lying[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        let changes = Changes { debug_link: Some(link), ..Changes::default() };
        let plan = plan_changes(&Image::parse(&lying).unwrap(), &changes).unwrap();
        let mut changed = lying.clone();
        plan.apply_to_vec(&mut changed).unwrap();
        assert_eq!(Image::parse(&changed).unwrap().debug_link(), Some(link));
        assert!(changed[64..header] == lying[64..header], "{offset:#x}");
        let path = workshop.write("lying.so", &changed);
        assert_eq!(Loaded::open(&path).unwrap().call(c"value"), 42, "{offset:#x}");
    }
}

#[test]
fn what_cannot_be_changed_says_why() {
    let workshop = Workshop::new();
    let Some(path) = workshop.compile("own.so", "int x;", &["gcc", "-shared", "-fPIC"]) else {
        return;
    };
    let Some(object) = workshop.compile("own.o", "int x;", &["gcc", "-c"]) else { return };
    let said = |path: &Path, changes: Changes<'_>| {
        let bytes = std::fs::read(path).unwrap();
        plan_changes(&Image::parse(&bytes).unwrap(), &changes).unwrap_err().to_string()
    };
    let none = Changes::default;
    let soname = Some(b"a\0b".to_vec());
    assert_eq!(said(&path, Changes { soname, ..none() }), "the name a\\x00b has a zero byte in it");
    let replace_needed = vec![(b"libno.so".to_vec(), b"liba.so".to_vec())];
    assert_eq!(said(&path, Changes { replace_needed, ..none() }), "no library libno.so is needed");
    let runpath = Some(b"/a".to_vec());
    assert_eq!(said(&object, Changes { runpath, ..none() }), "the image has no dynamic table");
    let build_id = Some(vec![1; 3]);
    assert!(said(&path, Changes { build_id: build_id.clone(), ..none() }).contains("build ID"));
    assert_eq!(said(&object, Changes { build_id, ..none() }), "the image has no build ID");
}

/// Every linker's libraries leave a header to be used again, or get their headers copied.
#[test]
fn each_way_to_a_new_segment_is_taken() {
    let workshop = Workshop::new();
    let (mut reused, mut copied, mut in_a_page) = (0, 0, 0);
    for linker in LINKERS {
        for flags in ["-Wl,-z,separate-code", "-Wl,-z,noseparate-code"] {
            let with = format!("-fuse-ld={linker}");
            // gold knows neither.
            let flags = if linker == "gold" { "-g0" } else { flags };
            let command = ["gcc", "-shared", "-fPIC", &with, flags];
            let Some(path) = workshop.compile("own.so", "int x;", &command) else { continue };
            for length in [40, 5000] {
                let bytes = std::fs::read(&path).unwrap();
                let before = Image::parse(&bytes).unwrap();
                let soname = Some(long("lib", length));
                let plan = planned(&path, &Changes { soname, ..Changes::default() });
                let mut changed = bytes.clone();
                plan.apply_to_vec(&mut changed).unwrap();
                let after = Image::parse(&changed).unwrap();
                let loads =
                    |image: &Image<'_>| image.segments().iter().filter(|it| it.is_load()).count();
                if plan.tail().is_none() {
                    assert_eq!(loads(&after), loads(&before));
                    in_a_page += 1;
                } else if after.header().program_headers == before.header().program_headers {
                    assert_eq!(after.segments().len(), before.segments().len());
                    assert!(after.segment(SegmentKind::GNU_STACK).is_some());
                    reused += 1;
                } else {
                    assert_eq!(after.segments().len(), before.segments().len() + 1);
                    copied += 1;
                }
            }
        }
    }
    println!("{in_a_page} in a page's rest, {reused} headers reused, {copied} times copied");
    went_through(in_a_page + reused + copied, 16, "libraries");
    assert!(copied > 0 && in_a_page > 0, "{in_a_page} {reused} {copied}");
}
