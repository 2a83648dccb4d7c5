//! Loaders that have static probes: the probes are found, and what is loaded and unloaded is told
//! exactly by them.
//!
//! `PROBED_LOADER=PATH` names a loader that was built with them (`configure --enable-systemtap`)
//! and has its C library beside it. Without it, the system's is taken if it
//! has them; else a copy of the system's that is given the notes which its makers would have made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use object::{Object, ObjectSection, ObjectSymbol};
use reloader_tests::{missing, tool};
use rendezvous::{FileMemory, Means, Probe, Site, Watch, WatchError, WatchOptions};

use crate::events::{Watched, becomes, sees_everything};
use crate::kinds;
use crate::target::Target;
use crate::workshop::{M32, Work};

fn probes_of(path: &Path) -> Vec<Probe> {
    Probe::all_of(&FileMemory::new(fs::File::open(path).unwrap()))
}

/// The addresses of the loader's probes, by their names.
fn addresses(probes: &[Probe]) -> Vec<(String, u64)> {
    let of_loader = probes.iter().filter(|probe| probe.provider == b"rtld");
    let mut addresses: Vec<_> = of_loader
        .map(|probe| (String::from_utf8(probe.name.clone()).unwrap(), probe.address))
        .collect();
    addresses.sort();
    addresses
}

/// A program whose loader has probes.
fn probed_program(directory: &Path) -> Option<PathBuf> {
    let system = kinds::interpreter(&Work::program().make()?)?;
    let has_probes = |path: &Path| {
        let probes = addresses(&probes_of(path));
        ["map_complete", "unmap_complete"]
            .iter()
            .all(|name| probes.iter().any(|(found, _)| found == name))
    };
    let loader = match std::env::var_os("PROBED_LOADER") {
        Some(path) => PathBuf::from(path),
        None if has_probes(&system) => system,
        None => with_notes(&system, directory)?,
    };
    assert!(has_probes(&loader), "{}", loader.display());
    let beside = loader.parent().filter(|_| std::env::var_os("PROBED_LOADER").is_some());
    let libraries = beside.map(|it| format!("-Wl,-rpath,{}", it.display()));
    let program = Work::program().flag(format!("-Wl,--dynamic-linker={}", loader.display()));
    program.flags(libraries.as_deref()).make()
}

/// A copy of a glibc's loader for x86-64 that was built without probes, with notes of the places
/// where it would have them: behind each call of the function that tells of a change.
fn with_notes(loader: &Path, directory: &Path) -> Option<PathBuf> {
    if cfg!(not(target_arch = "x86_64")) {
        missing("a loader with probes, or one for x86-64 that can be given their notes");
        return None;
    }
    let objcopy = tool("objcopy")?;
    let bytes = fs::read(loader).unwrap();
    let places = places(&bytes);
    let names = places.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert!(names.contains(&"map_complete") && names.contains(&"unmap_complete"), "{places:x?}");

    // As if everything had been moved since it was linked.
    let (linked_base, moved) = (0x20_0000_u64, 0x1000_u64);
    let mut notes = Vec::new();
    for (name, address) in &places {
        let mut descriptor = Vec::new();
        for word in [address - moved, linked_base, 0] {
            descriptor.extend_from_slice(&word.to_le_bytes());
        }
        descriptor.extend_from_slice(format!("rtld\0{name}\0-8@%rdi 8@%rsi\0").as_bytes());
        for word in [8, descriptor.len() as u32, 3] {
            notes.extend_from_slice(&word.to_le_bytes());
        }
        notes.extend_from_slice(b"stapsdt\0");
        notes.extend_from_slice(&descriptor);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
    let (with_notes, base) = (directory.join("notes"), directory.join("base"));
    fs::write(&with_notes, notes).unwrap();
    fs::write(&base, [0]).unwrap();
    let probed = directory.join("ld-probed.so");
    let output = Command::new(objcopy.0)
        .arg(format!("--add-section=.note.stapsdt={}", with_notes.display()))
        .arg(format!("--add-section=.stapsdt.base={}", base.display()))
        .arg(format!("--change-section-address=.stapsdt.base={:#x}", linked_base + moved))
        .args([loader, &probed])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = addresses(&probes_of(&probed));
    let mut expected: Vec<_> =
        places.into_iter().map(|(name, address)| (name.to_owned(), address)).collect();
    expected.sort();
    assert_eq!(found, expected);
    Some(probed)
}

/// Behind which calls of `_dl_debug_state` which change is done or begins, by what the loader
/// writes into `r_state` right before.
fn places(loader: &[u8]) -> Vec<(&'static str, u64)> {
    let image = object::File::parse(loader).unwrap();
    let function = image
        .dynamic_symbols()
        .find(|symbol| symbol.name() == Ok("_dl_debug_state"))
        .expect("glibc's loader exports it")
        .address();
    let text = image.section_by_name(".text").unwrap();
    let (start, code) = (text.address(), text.data().unwrap());
    let mut calls = Vec::new();
    for (at, call) in code.windows(5).enumerate() {
        let [0xe8, distance @ ..] = call else { continue };
        let after = start + at as u64 + 5;
        let distance = i64::from(i32::from_le_bytes(distance.try_into().unwrap()));
        if after.wrapping_add_signed(distance) != function {
            continue;
        }
        // `mov dword ptr [register + 0x18], state`
        let before = &code[at.saturating_sub(16)..at];
        let state = before.windows(7).rev().find_map(|mov| match mov {
            [0xc7, 0x40..=0x47, 0x18, state @ 0..=2, 0, 0, 0] => Some(*state),
            _ => None,
        });
        calls.extend(state.map(|state| (after, state)));
    }
    let is_add = |state: u8| state == 1;
    let last_add = calls.iter().rposition(|(_, state)| is_add(*state));
    let mut before = 0;
    let mut places = Vec::new();
    for (index, &(address, state)) in calls.iter().enumerate() {
        // What begins comes before its end; the start of the program is last.
        let is_init = last_add.is_some_and(|last| index >= last);
        places.push((
            match (state, before) {
                (2, _) => "unmap_start",
                (1, _) if is_init => "init_start",
                (1, _) => "map_start",
                (_, 2) => "unmap_complete",
                _ if is_init => "init_complete",
                _ => "map_complete",
            },
            address,
        ));
        before = state;
    }
    places
}

#[test]
fn the_probes_of_a_loader_are_those_that_gdb_finds() {
    let directory = tempfile::tempdir().unwrap();
    let (Some(gdb), Some(program)) = (tool("gdb"), probed_program(directory.path())) else {
        return;
    };
    let loader = kinds::loader(&program);
    let output = Command::new(gdb.0)
        .args(["-nx", "-batch", "-ex", "info probes stap rtld"])
        .arg(&loader)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // `stap rtld map_complete 0x000000000000bb48 … /path`, without the column of semaphores if
    // there are none.
    let mut by_gdb: Vec<(String, u64)> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip_while(|field| *field != "rtld").skip(1);
            let name = fields.next()?.to_owned();
            let address = fields.next()?.strip_prefix("0x")?;
            Some((name, u64::from_str_radix(address, 16).unwrap()))
        })
        .collect();
    by_gdb.sort();
    assert_eq!(addresses(&probes_of(&loader)), by_gdb, "{text}");
}

#[test]
fn the_probes_of_a_program_are_those_that_readelf_finds() {
    let header = "/usr/include/x86_64-linux-gnu/sys/sdt.h";
    if !Path::new("/usr/include/sys/sdt.h").exists() && !Path::new(header).exists() {
        return missing("<sys/sdt.h> (systemtap-sdt-dev)");
    }
    let Some(readelf) = tool("readelf") else { return };
    let source = r#"
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
unsigned short test_counted_semaphore __attribute__((section(".probes")));
unsigned short test_plain_semaphore __attribute__((section(".probes")));
int twice(int x) { STAP_PROBE2(test, plain, x, &x); return x * 2; }
int main(int count, char **arguments) {
    if (test_counted_semaphore) STAP_PROBE1(test, counted, count);
    STAP_PROBE1(test, plain, arguments[0]);
    return twice(count) == 0;
}
"#;
    for flags in [&["-O1"][..], &["-no-pie"], &M32] {
        let Some(program) = Work::library_of("probed", source).flags(flags.iter().copied()).make()
        else {
            return;
        };
        let output = Command::new(&readelf.0).arg("-nW").arg(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut by_readelf = Vec::new();
        let after = |line: &str, name: &str| {
            let (_, rest) = line.split_once(name)?;
            Some(rest.split(',').next()?.trim().to_owned())
        };
        let number = |text: String| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        let mut names = (String::new(), String::new());
        let mut places = (0, 0);
        for line in text.lines() {
            if let Some(provider) = after(line, "Provider:") {
                names.0 = provider;
            } else if let Some(name) = after(line, "Name:") {
                names.1 = name;
            } else if let Some(location) = after(line, "Location:") {
                places = (number(location), number(after(line, "Semaphore:").unwrap()));
            } else if let Some((_, arguments)) = line.split_once("Arguments:") {
                let arguments = arguments.trim().to_owned();
                by_readelf.push((names.clone(), places, arguments));
            }
        }
        assert_eq!(by_readelf.len(), 3, "{text}");
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ours: Vec<_> = probes_of(&program)
            .iter()
            .map(|it| {
                let names = (string(&it.provider), string(&it.name));
                (names, (it.address, it.semaphore), string(&it.arguments))
            })
            .collect();
        assert_eq!(ours, by_readelf, "{flags:?}");
        assert!(ours.iter().any(|(_, (_, semaphore), _)| *semaphore != 0));
    }
}

#[test]
fn what_costs_least_is_chosen_where_nothing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = probed_program(directory.path()) else { return };
    let mut target = Target::start(&program);
    for means in Means::ALL {
        let options = WatchOptions { means: vec![means], ..WatchOptions::default() };
        let Ok(watch) = Watch::with(target.pid(), &options) else {
            println!("skipped: {means} is not granted");
            continue;
        };
        let expected = match means {
            Means::PerfBreakpoint => Some(Site::Function),
            Means::Polling => None,
            _ => Some(Site::Probes),
        };
        assert_eq!(watch.site(), expected, "{means}");
    }
    assert_eq!(target.exit(7), 7);
}

/// What is seen by a loader's probes alone.
fn everything(means: Means) {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = probed_program(directory.path()) else { return };
    let Some(mut watched) = Watched::at(means, &[Site::Probes], Target::start(&program)) else {
        return;
    };
    assert_eq!(watched.watch.site(), Some(Site::Probes), "{means}");
    // Another program's probes are elsewhere.
    becomes(&mut watched, &format!("exec {}", program.display()), &program);
    assert_eq!(watched.watch.site(), Some(Site::Probes), "{means}");
    sees_everything(watched);
}

#[test]
fn a_perf_breakpoint_at_probes_shows_every_load_and_unload() {
    everything(Means::PerfBreakpoint);
}

#[test]
fn a_uprobe_at_probes_shows_every_load_and_unload() {
    everything(Means::Uprobe);
}

#[test]
fn debug_registers_at_probes_show_every_load_and_unload() {
    everything(Means::DebugRegister);
}

#[test]
fn breakpoints_at_probes_show_every_load_and_unload() {
    everything(Means::Breakpoint);
}

#[test]
fn a_library_in_the_place_of_another_is_seen_when_nobody_has_looked_between() {
    let directory = tempfile::tempdir().unwrap();
    let (Some(program), Some(first), Some(second)) = (
        probed_program(directory.path()),
        Work::library("a").make(),
        Work::library("a").make_in(directory.path()),
    ) else {
        return;
    };
    for means in [Means::PerfBreakpoint, Means::Uprobe] {
        for site in Site::ALL {
            let target = Target::start(&program);
            let Some(mut watched) = Watched::at(means, &[site], target) else { continue };
            watched.sees(&format!("open {}", first.display()), "handle 0", &["+liba.so"]);
            let place = |watched: &Watched| {
                let module = watched.watch.modules().find(|it| it.path().ends_with(b"/liba.so"));
                module.map(|it| (it.link_map, it.bias, it.path().to_vec())).unwrap()
            };
            let before = place(&watched);
            watched.target.close("0");
            watched.target.open(&second);
            let until = Instant::now() + Duration::from_secs(10);
            let mut count = 0;
            while count < 2 && Instant::now() < until {
                while let Some(event) = watched.watch.next_ready() {
                    event.unwrap();
                    count += 1;
                }
                std::thread::yield_now();
            }
            let after = place(&watched);
            assert_eq!((before.0, before.1), (after.0, after.1), "where the first was");
            assert_eq!(count, 2, "{means} at {site}");
            assert_eq!(after.2, second.as_os_str().as_encoded_bytes(), "{means} at {site}");
            watched.ends();
        }
    }
}

#[test]
fn breakpoints_at_probes_are_taken_away_again() {
    let directory = tempfile::tempdir().unwrap();
    let (Some(program), Some(library)) =
        (probed_program(directory.path()), Work::library("a").make())
    else {
        return;
    };
    let probes = addresses(&probes_of(&kinds::loader(&program)));
    let mut target = Target::start(&program);
    let (snapshot, _) = kinds::read(&target);
    let loader = snapshot.modules().find(|it| it.role == rendezvous::Role::Loader).unwrap();
    let text_of = |target: &Target| {
        let at = |(_, address): &(String, u64)| target.bytes_at(loader.bias + address, 16);
        probes.iter().map(at).collect::<Vec<_>>()
    };
    let before = text_of(&target);
    for means in [Means::DebugRegister, Means::Breakpoint] {
        let mut watched = Watched::at(means, &[Site::Probes], target).unwrap();
        let open = format!("open {}", library.display());
        let said = watched.while_doing(&open, drop);
        let handle = said.strip_prefix("handle ").unwrap().to_owned();
        assert_eq!(text_of(&watched.target) != before, means == Means::Breakpoint);
        // A child has the text of its parent, and no tracer.
        let said = watched.while_doing(&format!("fork {}", library.display()), drop);
        assert_eq!(said, "child 42");
        drop(watched.watch);
        target = watched.target;
        assert_eq!(text_of(&target), before);
        target.close(&handle);
        target.open(&library);
    }
    assert_eq!(target.exit(7), 7);
}

#[test]
fn without_probes_the_function_is_watched_and_whoever_wants_probes_alone_is_told() {
    let Some(library) = Work::library("a").make() else { return };
    let programs =
        [Work::program().compiler("musl-gcc"), Work::program().flags(["-static", "-no-pie"])];
    for program in programs {
        let Some(program) = program.make() else { continue };
        let mut target = Target::start(&program);
        // The loader of a static program begins when it is first needed.
        target.open(&library);
        for means in Means::ALL {
            let options = |sites: &[Site]| WatchOptions {
                means: vec![means],
                sites: sites.to_vec(),
                ..WatchOptions::default()
            };
            let Ok(watch) = Watch::with(target.pid(), &options(&Site::ALL)) else {
                assert!(!means.is_exact() && means != Means::Polling, "{means}");
                println!("skipped: {means} is not granted");
                continue;
            };
            let expected = (means != Means::Polling).then_some(Site::Function);
            assert_eq!(watch.site(), expected, "{means}");
            drop(watch);
            match Watch::with(target.pid(), &options(&[Site::Probes])) {
                Ok(watch) => assert_eq!((watch.means(), watch.site()), (Means::Polling, None)),
                Err(WatchError::Means { refused }) => {
                    assert_eq!(refused.len(), 1);
                    assert_eq!(refused[0].means, means);
                    assert_eq!(refused[0].reason.kind(), std::io::ErrorKind::NotFound);
                }
                Err(other) => panic!("{means}: {other}"),
            }
        }
    }
}

#[test]
fn a_loader_whose_file_is_another_by_now_is_watched_by_its_function() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = probed_program(directory.path()) else { return };
    let loader = kinds::loader(&program);
    let copy = directory.path().join("ld-copy.so");
    fs::copy(&loader, &copy).unwrap();
    let mut target = Target::of(Command::new(&copy).arg(&program));
    let watch = |target: &Target| {
        Watch::with(
            target.pid(),
            &WatchOptions { means: vec![Means::DebugRegister], ..WatchOptions::default() },
        )
    };
    assert_eq!(watch(&target).unwrap().site(), Some(Site::Probes));
    // Another build in its place: its headers differ.
    let mut bytes = fs::read(&copy).unwrap();
    bytes[0x200..0x300].fill(0x55);
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, bytes).unwrap();
    let site = watch(&target).unwrap().site();
    // An administrator may open the file that is mapped, deleted or not.
    let mapped = fs::read_dir("/proc/self/map_files").unwrap().next().unwrap().unwrap();
    let may_open = fs::File::open(mapped.path()).is_ok();
    assert_eq!(site, Some(if may_open { Site::Probes } else { Site::Function }));
    let library = Work::library("a").make().unwrap();
    target.open(&library);
    assert_eq!(target.exit(7), 7);
}
