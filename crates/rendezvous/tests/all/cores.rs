use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rendezvous::{Class, Consistency, Core, CoreError, Memory, Module, Snapshot, Unreadable};

use crate::support::{Target, Workshop, has, left_out, look, names};

/// What must be the same in a core file as it was in the process: everything but the names that
/// are in memory that is not dumped, and the numbers of files, which are not noted.
fn essence(snapshot: &Snapshot) -> Vec<(Module, Vec<u8>)> {
    let of = |module: &Module| {
        let path = module.path().to_vec();
        let mut module = module.clone();
        module.name = None;
        if let Some(file) = &mut module.file {
            file.identity = None;
        }
        (module, path)
    };
    snapshot.modules().map(of).collect()
}

fn read(core: &Core<'_>) -> Snapshot {
    let rendezvous = core.locate(None).unwrap().found().expect("it had been loaded");
    let mut snapshot = rendezvous.snapshot(core);
    snapshot.resolve(core, core.mappings());
    assert_eq!(snapshot.problem, None);
    snapshot
}

/// Asserts that the core file says what was seen before. The kernel maps its own image from no
/// file, and what has no file is called what the loader calls it.
fn is_the_same(core: &Core<'_>, before: &Snapshot) {
    let after = read(core);
    assert_eq!(after.consistency, Consistency::Consistent);
    assert_eq!(after.attempts, 1);
    assert_eq!(essence(&after), essence(before));
}

/// The kernel's core file of a process of this name and number, if it writes any where they can
/// be found.
fn kernel_core(directory: &Path, pid: u32) -> Option<PathBuf> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    let pattern = pattern.trim_end();
    if pattern.starts_with('|') || pattern.replace("%p", "").replace("%e", "").contains('%') {
        return None;
    }
    let name = pattern.replace("%p", &pid.to_string()).replace("%e", "target");
    // With core_uses_pid the number is put behind a name that has none.
    let candidates = [name.clone(), format!("{name}.{pid}")];
    candidates.into_iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

fn targets(workshop: &Workshop) -> Vec<(&'static str, Target)> {
    let mut targets = Vec::new();
    for (name, flags) in
        [("pie", &["-Wl,--build-id"][..]), ("fixed", &["-no-pie"]), ("small", &["-m32"])]
    {
        let Some(program) = workshop.target(name, flags) else { continue };
        let flags = if name == "small" { &["-m32"][..] } else { &[] };
        let Some(libraries) = workshop.libraries(flags, &["one.so", "two.so"]) else { continue };
        let mut command = Command::new("sh");
        // As large as it wants to be, and in the scratch directory if the name is relative.
        command
            .args(["-c", "ulimit -c unlimited; exec \"$0\""])
            .arg(program)
            .current_dir(workshop.path(""));
        let mut target = Target::start(command);
        assert_eq!(target.open(&libraries[0]), "ok");
        assert_eq!(target.tell(&format!("mopen {}", libraries[1].display())), "ok");
        targets.push((name, target));
    }
    targets
}

#[test]
fn what_the_kernel_dumps_says_what_the_process_said() {
    let workshop = Workshop::new();
    for (name, mut target) in targets(&workshop) {
        let (_, before) = look(&target.process());
        let pid = target.child.id();
        target.say("crash");
        target.child.wait().unwrap();
        let Some(path) = kernel_core(&workshop.path(""), pid) else {
            left_out("the kernel writes no core file that can be found (kernel.core_pattern)");
            return;
        };
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let core = Core::parse(&bytes).unwrap();
        let class = if name == "small" { Class::Elf32 } else { Class::Elf64 };
        assert_eq!(core.startup().layout.class, class);
        is_the_same(&core, &before);
        cut_short_it_is_read_as_far_as_it_goes(&bytes);
        what_is_not_dumped_comes_from_the_file(&bytes, &before);
    }
}

#[test]
fn what_gdb_dumps_says_what_the_process_said() {
    if !has("gdb") {
        return;
    }
    let workshop = Workshop::new();
    for (name, target) in targets(&workshop) {
        let (_, before) = look(&target.process());
        let path = workshop.path(&format!("{name}.core"));
        let output = Command::new("gdb")
            .args(["-nx", "-batch", "-p", &target.child.id().to_string(), "-ex"])
            .arg(format!("generate-core-file {}", path.display()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        is_the_same(&Core::parse(&bytes).unwrap(), &before);
    }
}

fn cut_short_it_is_read_as_far_as_it_goes(bytes: &[u8]) {
    for part in 0..64 {
        let cut = &bytes[..bytes.len() / 64 * part];
        let Ok(core) = Core::parse(cut) else { continue };
        if let Ok(location) = core.locate(None)
            && let Some(rendezvous) = location.found()
        {
            let mut snapshot = rendezvous.snapshot(&core);
            snapshot.resolve(&core, core.mappings());
        }
    }
}

fn what_is_not_dumped_comes_from_the_file(bytes: &[u8], before: &Snapshot) {
    let mut core = Core::parse(bytes).unwrap();
    let library = before.modules().find(|module| names([*module]) == ["libc.so.6"]).unwrap();
    let path = library.path().to_vec();
    let contents = std::fs::read(String::from_utf8(path.clone()).unwrap()).unwrap();
    // Its code, which nobody has written to.
    let mapping = core
        .mappings()
        .iter()
        .filter(|mapping| mapping.file.as_ref().is_some_and(|file| file.path == path))
        .nth(1)
        .unwrap()
        .clone();
    let mut code = [0; 64];
    let error = core.read_exact_at(mapping.range.start, &mut code).unwrap_err();
    assert_eq!(error.reason, Unreadable::NotDumped);
    // Another build's file, and no file of the process, are refused.
    let mut other = contents.clone();
    other[0x200] ^= 1;
    assert!(!core.clone().supply(&path, &other));
    assert!(!core.clone().supply(&path, &[]));
    assert!(!core.clone().supply(b"/no/such/file", &contents));
    assert!(core.supply(&path, &contents));
    core.read_exact_at(mapping.range.start, &mut code).unwrap();
    assert_eq!(code, contents[mapping.offset as usize..][..64]);
    is_the_same(&core, before);
}

#[test]
fn what_is_no_core_file_is_said_so() {
    assert_eq!(Core::parse(b"").unwrap_err(), CoreError::NotElf);
    assert_eq!(Core::parse(b"#!/bin/sh\n").unwrap_err(), CoreError::NotElf);
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let error = Core::parse(&program).unwrap_err();
    assert_eq!(error, CoreError::NotCore { kind: 3 });
    assert_eq!(error.to_string(), "an ELF file, but no core file (e_type 0x3)");
}
