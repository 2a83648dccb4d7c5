#![allow(unsafe_code, reason = "forks, and stops a process as a debugger does")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rendezvous::{
    Class, Consistency, Location, Process, ProcessError, Refusal, Role, Tracker, Unreadable, Way,
};

use crate::support::{Target, Workshop, has, left_out, look, names};

/// What `eu-unstrip` says of a process: address, build ID and path of each module.
fn by_elfutils(pid: u32) -> Option<Vec<(u64, String, String)>> {
    if !has("eu-unstrip") {
        return None;
    }
    let output = Command::new("eu-unstrip").args(["-n", "-p", &pid.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut modules: Vec<_> = text
        .lines()
        .map(|line| {
            let mut fields = line.split(' ');
            let (start, _) = fields.next().unwrap().split_once('+').unwrap();
            let id = fields.next().unwrap().split('@').next().unwrap().to_owned();
            let path = fields.next().unwrap().to_owned();
            (u64::from_str_radix(&start[2..], 16).unwrap(), id, path)
        })
        .collect();
    modules.sort();
    Some(modules)
}

#[test]
fn modules_bases_and_build_ids_are_those_that_elfutils_finds() {
    let workshop = Workshop::new();
    let Some(program) = workshop.target("target", &["-Wl,--build-id"]) else { return };
    let Some(libraries) = workshop.libraries(&[], &["one.so", "two.so"]) else { return };
    let mut target = Target::start(Command::new(program));
    for library in &libraries {
        assert_eq!(target.open(library), "ok");
    }
    let (rendezvous, snapshot) = look(&target.process());
    assert_eq!(rendezvous.way, Way::DynamicTable);
    assert_eq!(snapshot.consistency, Consistency::Consistent);
    let Some(expected) = by_elfutils(target.child.id()) else { return };
    let mut found: Vec<(u64, String)> = snapshot
        .modules()
        .map(|module| {
            let id = module.build_id.as_ref().unwrap();
            (module.bias, id.iter().map(|byte| format!("{byte:02x}")).collect())
        })
        .collect();
    found.sort();
    let expected: Vec<(u64, String)> =
        expected.into_iter().map(|(start, id, _)| (start, id)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_program_with_fixed_addresses_and_one_of_32_bits_are_read_as_any_other() {
    let workshop = Workshop::new();
    for (name, flags) in [
        ("fixed", &["-no-pie", "-Wl,--build-id"][..]),
        // With holes between its segments, as on AArch64.
        ("apart", &["-no-pie", "-Wl,--build-id,-z,max-page-size=65536,-z,noseparate-code"]),
        ("small", &["-m32", "-Wl,--build-id"]),
        ("musl", &["-Wl,--build-id"]),
    ] {
        let program = match name {
            "musl" => {
                let source = workshop.target("plain", &[]).map(|_| workshop.path("plain.c"));
                let Some(source) = source else { return };
                let text = std::fs::read_to_string(source).unwrap();
                workshop.compile(name, &text, &["musl-gcc", "-Wl,--build-id"])
            }
            _ => workshop.target(name, flags),
        };
        let Some(program) = program else { continue };
        let target = Target::start(Command::new(program));
        let process = target.process();
        let (rendezvous, snapshot) = look(&process);
        let class = if name == "small" { Class::Elf32 } else { Class::Elf64 };
        assert_eq!(rendezvous.layout.class, class);
        let modules: Vec<_> = snapshot.modules().collect();
        let of_role = |role| modules.iter().filter(|module| module.role == role).count();
        assert_eq!(of_role(Role::Program), 1, "{name}: {modules:?}");
        assert_eq!(of_role(Role::Loader), 1, "{name}: {modules:?}");
        assert!(of_role(Role::Kernel) <= 1);
        let program = modules.iter().find(|module| module.role == Role::Program).unwrap();
        assert_eq!(names([*program]), [name]);
        assert!(program.build_id.is_some(), "{name}");
        assert_eq!(program.bias == 0, matches!(name, "fixed" | "apart"), "{name}");
    }
}

#[test]
fn each_namespace_is_listed_and_a_place_that_is_free_is_empty() {
    let workshop = Workshop::new();
    let Some(program) = workshop.target("target", &[]) else { return };
    let Some(libraries) = workshop.libraries(&[], &["one.so", "two.so"]) else { return };
    let mut target = Target::start(Command::new(program));
    let process = target.process();
    let (rendezvous, _) = look(&process);
    let mut tracker = Tracker::new();
    tracker.advance(&rendezvous, &process).unwrap();
    tracker.resolve(&process, &process.mappings().unwrap());
    for library in &libraries {
        assert_eq!(target.tell(&format!("mopen {}", library.display())), "ok");
        tracker.advance(&rendezvous, &process).unwrap();
        tracker.resolve(&process, &process.mappings().unwrap());
        let name = library.file_name().unwrap().to_str().unwrap().to_owned();
        // A C library of its own comes with it.
        assert!(names(tracker.added()).contains(&name));
        assert!(tracker.added().len() >= 2, "{:?}", names(tracker.added()));
    }
    let (_, snapshot) = look(&process);
    assert_eq!(snapshot.namespaces.len(), 3);
    assert!(tracker.snapshot().modules().eq(snapshot.modules()));
    for (index, namespace) in snapshot.namespaces.iter().enumerate() {
        assert!(namespace.modules.iter().all(|module| module.namespace == index as u32));
        let loaders = namespace.modules.iter().filter(|module| module.role == Role::Loader);
        assert_eq!(loaders.count(), 1);
    }
    assert_eq!(target.tell("close 0"), "ok");
    tracker.advance(&rendezvous, &process).unwrap();
    assert!(tracker.removed().iter().all(|module| module.namespace == 1));
    let (_, snapshot) = look(&process);
    assert_eq!(snapshot.namespaces.len(), 3);
    assert!(snapshot.namespaces[1].modules.is_empty());
    assert!(tracker.snapshot().modules().eq(snapshot.modules()));
}

#[test]
fn a_tracker_sees_exactly_what_is_loaded_and_unloaded() {
    let workshop = Workshop::new();
    let Some(program) = workshop.target("target", &[]) else { return };
    let file_names: Vec<String> = (0..20).map(|index| format!("library-{index:02}.so")).collect();
    let file_names: Vec<&str> = file_names.iter().map(String::as_str).collect();
    let Some(libraries) = workshop.libraries(&[], &file_names) else { return };
    let mut target = Target::start(Command::new(program));
    let process = target.process();
    let (rendezvous, _) = look(&process);
    assert!(rendezvous.notices_removals());
    let mut tracker = Tracker::new();
    tracker.advance(&rendezvous, &process).unwrap();
    for (library, name) in libraries.iter().zip(&file_names) {
        assert_eq!(target.open(library), "ok");
        // Whoever looks now and then sees the loader at rest each time.
        tracker.advance(&rendezvous, &process).unwrap();
        assert_eq!(names(tracker.added()), [*name]);
        assert!(tracker.removed().is_empty());
    }
    for index in [7, 19, 0] {
        assert_eq!(target.tell(&format!("close {index}")), "ok");
        tracker.advance(&rendezvous, &process).unwrap();
        assert_eq!(names(tracker.removed()), [file_names[index]]);
        assert!(tracker.added().is_empty());
    }
    // One goes and one comes between two looks.
    assert_eq!(target.tell("close 3"), "ok");
    assert_eq!(target.open(&libraries[7]), "ok");
    tracker.advance(&rendezvous, &process).unwrap();
    assert_eq!(names(tracker.removed()), [file_names[3]]);
    assert_eq!(names(tracker.added()), [file_names[7]]);
    // Nothing.
    tracker.advance(&rendezvous, &process).unwrap();
    assert!(tracker.added().is_empty() && tracker.removed().is_empty());
}

#[test]
fn files_that_were_deleted_or_replaced_or_opened_by_a_relative_path_are_known_by_what_is_mapped() {
    let workshop = Workshop::new();
    let Some(program) = workshop.target("target", &[]) else { return };
    let Some(libraries) = workshop.libraries(&[], &["deleted.so", "replaced.so", "relative.so"])
    else {
        return;
    };
    let mut command = Command::new(program);
    command.current_dir(workshop.path(""));
    let mut target = Target::start(command);
    for name in ["./deleted.so", "./replaced.so", "./relative.so"] {
        assert_eq!(target.open(Path::new(name)), "ok");
    }
    std::fs::remove_file(&libraries[0]).unwrap();
    std::fs::copy(&libraries[2], workshop.path("new")).unwrap();
    std::fs::rename(workshop.path("new"), &libraries[1]).unwrap();
    let (_, snapshot) = look(&target.process());
    for (library, is_deleted) in libraries.iter().zip([true, true, false]) {
        let real = workshop.path("").canonicalize().unwrap().join(library.file_name().unwrap());
        let module = snapshot
            .modules()
            .find(|module| module.path_lossy() == real.to_str().unwrap())
            .unwrap_or_else(|| panic!("{real:?} is not in {:?}", names(snapshot.modules())));
        assert_eq!(module.is_deleted(), is_deleted);
        assert!(module.name.as_ref().unwrap().starts_with(b"./"));
        // Its notes are in memory, whatever has become of the file.
        assert!(module.build_id.is_some());
    }
}

#[test]
fn a_file_whose_name_ends_as_the_kernel_marks_deleted_ones_is_not_deleted_until_it_is() {
    let workshop = Workshop::new();
    let Some(program) = workshop.target("target", &[]) else { return };
    let Some(libraries) = workshop.libraries(&[], &["a.so (deleted)", "b.so (deleted)"]) else {
        return;
    };
    let mut target = Target::start(Command::new(program));
    for library in &libraries {
        assert_eq!(target.open(library), "ok");
    }
    std::fs::remove_file(&libraries[1]).unwrap();
    // Another file is at the path that the mark would leave of the first one.
    std::fs::copy(&libraries[0], workshop.path("a.so")).unwrap();
    let (_, snapshot) = look(&target.process());
    for (name, is_deleted) in [("a.so (deleted)", false), ("b.so (deleted)", true)] {
        let module = snapshot
            .modules()
            .find(|module| module.path_lossy().ends_with(name))
            .unwrap_or_else(|| panic!("{name} is not in {:?}", names(snapshot.modules())));
        assert_eq!(module.is_deleted(), is_deleted);
    }
}

#[test]
fn the_same_file_in_two_namespaces_is_two_modules() {
    let workshop = Workshop::new();
    let Some(program) = workshop.target("target", &[]) else { return };
    let Some(libraries) = workshop.libraries(&[], &["one.so"]) else { return };
    let mut target = Target::start(Command::new(program));
    assert_eq!(target.open(&libraries[0]), "ok");
    assert_eq!(target.tell(&format!("mopen {}", libraries[0].display())), "ok");
    let (_, snapshot) = look(&target.process());
    let both: Vec<_> =
        snapshot.modules().filter(|module| module.path_lossy().ends_with("one.so")).collect();
    let [first, second] = both[..] else { panic!("{both:?}") };
    assert_eq!(first.file, second.file);
    assert_eq!(first.build_id, second.build_id);
    assert_ne!(first.identity(), second.identity());
}

#[test]
fn a_process_before_its_loader_has_run_says_where_to_wait() {
    let mut command = Command::new("/bin/true");
    // SAFETY: between fork and exec, one system call.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    // It has stopped at its first instruction, which is the loader's.
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    // SAFETY: waits for the child, whose state goes to a local.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFSTOPPED(status), "{status:#x}");
    let process = Process::open(child.id()).unwrap();
    let location = process.locate().unwrap();
    let entry = process.startup().auxv.entry.unwrap();
    assert_eq!(location, Location::NotYet { wait_at: entry });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn who_executes_another_program_is_opened_again() {
    let workshop = Workshop::new();
    let (Some(first), Some(second)) =
        (workshop.target("first", &[]), workshop.target("second", &["-no-pie"]))
    else {
        return;
    };
    let mut target = Target::start(Command::new(first));
    let (_, before) = look(&target.process());
    assert_eq!(target.tell(&format!("exec {}", second.display())), "ready");
    let (_, after) = look(&target.process());
    assert_eq!(names(before.modules())[0], "first");
    assert_eq!(names(after.modules())[0], "second");
    let mut tracker = Tracker::new();
    tracker.update(before.clone());
    tracker.reset();
    assert_eq!(tracker.removed().len(), before.modules().count());
    tracker.update(after.clone());
    assert_eq!(tracker.added().len(), after.modules().count());
}

#[test]
fn a_process_that_is_gone_or_was_never_there_is_said_so() {
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
    let process = Process::open(child.id()).unwrap();
    child.kill().unwrap();
    // It has ended, and is not waited for.
    let mut info: libc::siginfo_t;
    // SAFETY: the structure is plain data that the kernel fills.
    unsafe {
        info = std::mem::zeroed();
        libc::waitid(libc::P_PID, child.id(), &raw mut info, libc::WEXITED | libc::WNOWAIT);
    }
    let error = Process::open(child.id()).unwrap_err();
    assert!(matches!(error, ProcessError::NoMemory { .. }), "{error}");
    child.wait().unwrap();
    let error = Process::open(child.id()).unwrap_err();
    assert!(matches!(error, ProcessError::NoProcess { .. }), "{error}");
    let address = process.startup().auxv.phdr.unwrap();
    let error = rendezvous::Memory::read_exact_at(&process, address, &mut [0]).unwrap_err();
    assert_eq!(error.reason, Unreadable::Gone);
    // The kernel's own threads have no memory either.
    if let Err(error) = Process::open(2) {
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_refusal_says_what_to_do_about_it() {
    // SAFETY: asks for numbers.
    if unsafe { libc::geteuid() } != 0 {
        left_out("only root can become another user");
        return;
    }
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    // Looked at by a child of this process that has given its rights up.
    // SAFETY: the child makes system calls, writes to a pipe and ends without returning; it takes
    // no lock that another thread may have held but the allocator's, which glibc frees in a fork.
    let text = unsafe {
        let mut pipe = [0; 2];
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let fork = libc::fork();
        if fork == 0 {
            libc::setgid(65534);
            libc::setuid(65534);
            let text = match Process::open(pid) {
                Err(ProcessError::Refused { refusal: Refusal::OtherUser { owner: 0 }, .. }) => {
                    Process::open(pid).unwrap_err().to_string()
                }
                other => format!("{other:?}"),
            };
            libc::write(pipe[1], text.as_ptr().cast(), text.len());
            libc::_exit(0);
        }
        libc::close(pipe[1]);
        let mut text = vec![0; 4096];
        let length = libc::read(pipe[0], text.as_mut_ptr().cast(), text.len());
        libc::close(pipe[0]);
        libc::waitpid(fork, std::ptr::null_mut(), 0);
        text.truncate(length.max(0) as usize);
        String::from_utf8(text).unwrap()
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        text,
        format!(
            "process {pid} may not be read: it belongs to user 0; be that user, or root, or have \
             CAP_SYS_PTRACE"
        )
    );
}
