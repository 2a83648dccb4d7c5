use std::process::Command;

use rendezvous::{Role, ThreadStorageError};

use crate::support::{Target, Workshop, look};

/// What a thread of the target says: its pointer, and the addresses of its copies.
fn addresses(answer: &str) -> [u64; 3] {
    let mut fields = answer
        .split(' ')
        .map(|field| u64::from_str_radix(field.trim_start_matches("0x"), 16).unwrap_or_default());
    std::array::from_fn(|_| fields.next().unwrap_or_else(|| panic!("{answer}")))
}

/// The value of a symbol of a program or library, by `nm`.
fn symbol(path: &std::path::Path, name: &str) -> Option<u64> {
    let output = Command::new("nm").arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}")))?;
    u64::from_str_radix(line.split(' ').next()?, 16).ok()
}

#[test]
fn each_threads_copy_of_a_variable_is_where_the_thread_says() {
    let workshop = Workshop::new();
    for flags in [&[][..], &["-m32"]] {
        let Some(program) = workshop.target("target", flags) else { continue };
        let Some(libraries) = workshop.libraries(flags, &["one.so", "two.so"]) else { continue };
        let (Some(mine), Some(own)) = (symbol(&program, "mine"), symbol(&libraries[0], "own"))
        else {
            crate::support::skipped("nm");
            return;
        };
        let mut target = Target::start(Command::new(&program));
        for library in &libraries {
            assert_eq!(target.open(library), "ok");
        }
        let thread = addresses(&target.tell("thread"));
        let main = addresses(&target.tell("use 0"));

        let process = target.process();
        let (rendezvous, snapshot) = look(&process);
        let storage = rendezvous.thread_storage(&process, &snapshot).unwrap();
        let find = |name: &str| {
            snapshot.modules().find(|module| module.path_lossy().ends_with(name)).unwrap()
        };
        let program = snapshot.modules().find(|module| module.role == Role::Program).unwrap();
        for [pointer, copy, _] in [main, thread] {
            assert_ne!(pointer, 0);
            assert_eq!(storage.address(&process, program, pointer, mine), Ok(copy));
        }
        assert_ne!(main[1], thread[1]);
        let library = find("one.so");
        assert_eq!(storage.address(&process, library, main[0], own), Ok(main[2]));
        // The other thread has not used it, and neither has used the other library.
        let none = Err(ThreadStorageError::NotAllocated);
        assert_eq!(storage.address(&process, library, thread[0], own), none);
        assert_eq!(storage.address(&process, find("two.so"), main[0], own), none);
        let loader = snapshot.modules().find(|module| module.role == Role::Kernel).unwrap();
        let error = storage.address(&process, loader, main[0], 0).unwrap_err();
        assert_eq!(error, ThreadStorageError::None);

        let thread = addresses(&target.tell("go"));
        assert_eq!(storage.address(&process, library, thread[0], own), Ok(thread[2]));

        // Another library gets the number that the first had; the thread's vector still has an
        // entry for it, of the first.
        assert_eq!(target.tell("close 0"), "ok");
        assert_eq!(target.open(&libraries[0]), "ok");
        let (_, snapshot) = look(&process);
        let again =
            snapshot.modules().find(|module| module.path_lossy().ends_with("one.so")).unwrap();
        assert_eq!(storage.address(&process, again, thread[0], own), none);
    }
}

/// glibc puts what is reached by descriptors beside the program's own, where there is room, and
/// enters it in no thread's vector. On AArch64 compilers always do it so.
#[test]
fn what_is_reached_by_descriptors_is_where_the_thread_says() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let workshop = Workshop::new();
    let flags = ["-mtls-dialect=gnu2"];
    let Some(program) = workshop.target("target", &[]) else { return };
    let Some(libraries) = workshop.libraries(&flags, &["one.so"]) else { return };
    let Some(own) = symbol(&libraries[0], "own") else {
        crate::support::skipped("nm");
        return;
    };
    let mut target = Target::start(Command::new(&program));
    assert_eq!(target.open(&libraries[0]), "ok");
    target.tell("thread");
    let main = addresses(&target.tell("use 0"));
    let thread = addresses(&target.tell("go"));
    let process = target.process();
    let (rendezvous, snapshot) = look(&process);
    let storage = rendezvous.thread_storage(&process, &snapshot).unwrap();
    let library =
        snapshot.modules().find(|module| module.path_lossy().ends_with("one.so")).unwrap();
    for [pointer, _, copy] in [main, thread] {
        assert_eq!(storage.address(&process, library, pointer, own), Ok(copy));
    }
    assert_ne!(main[2], thread[2]);
}

#[test]
fn under_another_library_than_glibc_it_is_not_known() {
    let workshop = Workshop::new();
    if workshop.target("plain", &[]).is_none() {
        return;
    }
    let text = std::fs::read_to_string(workshop.path("plain.c")).unwrap();
    let Some(program) = workshop.compile("musl", &text, &["musl-gcc"]) else { return };
    let target = Target::start(Command::new(program));
    let process = target.process();
    let (rendezvous, snapshot) = look(&process);
    let error = rendezvous.thread_storage(&process, &snapshot).unwrap_err();
    assert_eq!(error, ThreadStorageError::Unknown);
}
