//! Where the copies lie, what they are called, and that nothing of them is left; paths of every
//! kind.
#![allow(unsafe_code, reason = "forks and drops privileges, in processes of their own")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use reloader::{ErrorKind, Event, Plugin, RefusalKind, Step, Watch};
use reloader_tests::{Bench, Build, Seen, alone, pass, step_until, write};

/// A plugin of this library with its copies below `temporary`.
fn open(library: &Path, temporary: &Path) -> Plugin {
    let poll = Watch::Poll(std::time::Duration::ZERO);
    Plugin::builder(library).temp_dir(temporary).watch(poll).open().unwrap()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Loads build 1 from there, reloads build 2, crashes in build 3, comes back, closes: nothing is
/// left.
fn works(library: &Path, temporary: &Path) {
    write(library, &Build::ledger(1).bytes());
    let seen = Seen::default();
    let poll = Watch::Poll(std::time::Duration::ZERO);
    let mut plugin = Plugin::builder(library)
        .temp_dir(temporary)
        .watch(poll)
        .on_event(seen.callback())
        .open()
        .unwrap();
    assert_eq!(plugin.step(), Step::Ran(1), "{library:?}: {:?}", seen.take());
    write(library, &Build::ledger(2).bytes());
    assert_eq!(plugin.step(), Step::Ran(2), "{library:?}: {:?}", seen.take());
    write(library, &Build::ledger(3).failing("CR_STEP", "segv").bytes());
    assert!(matches!(plugin.step(), Step::Failed(_)), "{library:?}: {:?}", seen.take());
    assert_eq!(plugin.step(), Step::Ran(2), "{library:?}: {:?}", seen.take());
    plugin.close();
    assert_eq!(entries(temporary), Vec::<PathBuf>::new(), "{library:?}");
}

#[test]
fn copies_lie_in_a_private_directory_under_names_of_their_own() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    let directories = entries(bench.temporary());
    let [directory] = &directories[..] else { panic!("{directories:?}") };
    let metadata = fs::symlink_metadata(directory).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o700);
    let name = directory.file_name().unwrap().to_str().unwrap();
    assert!(name.contains(&std::process::id().to_string()), "{name}");
    let mut names: Vec<_> =
        bench.copies().iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    names.sort();
    let [first, second] = &names[..] else { panic!("{names:?}") };
    assert!(first.to_str().unwrap().starts_with("libguest.v1"), "{first:?}");
    assert!(second.to_str().unwrap().starts_with("libguest.v2"), "{second:?}");
    // They are what is mapped, for debuggers to find.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for copy in bench.copies() {
        assert!(maps.contains(copy.to_str().unwrap()), "{copy:?}\n{maps}");
    }
    plugin.close();
    assert_eq!(entries(bench.temporary()), Vec::<PathBuf>::new());
}

#[test]
fn the_systems_temporary_directory_is_the_one_unless_said_otherwise() {
    let test = "files::the_systems_temporary_directory_is_the_one_unless_said_otherwise";
    let Some(mut command) = alone(test) else {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = Plugin::builder(bench.library()).open().unwrap();
        assert_eq!(plugin.step(), Step::Ran(1));
        let temporary = PathBuf::from(std::env::var_os("TMPDIR").unwrap());
        let own = entries(&temporary)
            .into_iter()
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("reloader-"));
        assert_eq!(own.count(), 1);
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    pass({
        command.env("TMPDIR", temporary.path());
        command
    });
    let left = entries(temporary.path());
    let left: Vec<_> =
        left.iter().filter(|path| path.to_str().unwrap().contains("reloader-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_path_that_the_system_takes_is_taken() {
    let bench = Bench::new();
    let root = bench.directory();
    let mut names: Vec<&OsStr> = [
        "with space.so",
        "ünïcödé-数.so",
        "no_extension",
        "libx.so.1.2",
        ".so",
        ".hidden",
        "two..dots.so",
        "back\\slash.so",
        "quote'\"$HOME.so",
        "$LIB.so",
        "lib.${ORIGIN}",
        "percent%s%n.so",
        "new\nline.so",
        "-dash.so",
    ]
    .map(OsStr::new)
    .to_vec();
    names.push(OsStr::from_bytes(b"not-\xff\xfe-utf8.so"));
    let longest = format!("{}.so", "l".repeat(252));
    let without = "n".repeat(255);
    let extension = format!("x.{}", "e".repeat(253));
    names.extend([&longest, &without, &extension].map(OsStr::new));
    for name in names {
        works(&root.join(name), bench.temporary());
        fs::remove_file(root.join(name)).unwrap();
    }
    for name in ["with space", "back\\slash", "ünïcödé", "a.so", "$ORIGIN", "co:lon;semi"] {
        let directory = root.join(name);
        fs::create_dir(&directory).unwrap();
        works(&directory.join("libguest.so"), bench.temporary());
    }
    let mut deep = root.to_owned();
    while deep.as_os_str().len() < 3500 {
        deep.push("d".repeat(200));
    }
    fs::create_dir_all(&deep).unwrap();
    works(&deep.join("libguest.so"), bench.temporary());
    let real = root.join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, root.join("linked")).unwrap();
    works(&root.join("linked/libguest.so"), bench.temporary());
    works(&root.join("linked/../real/./libguest.so"), bench.temporary());
}

#[test]
fn every_temporary_directory_that_the_system_takes_is_taken() {
    let bench = Bench::new();
    let root = bench.temporary();
    let names = ["with space", "ünïcödé", "back\\slash", "new\nline", "$HOME", "co:lon;semi"];
    for name in names.map(OsStr::new).into_iter().chain([OsStr::from_bytes(b"not-\xff-utf8")]) {
        let temporary = root.join(name);
        fs::create_dir(&temporary).unwrap();
        works(&bench.library(), &temporary);
        let mut slash = temporary.clone().into_os_string();
        slash.push("/");
        works(&bench.library(), Path::new(&slash));
    }
    let real = root.join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, root.join("link")).unwrap();
    works(&bench.library(), &root.join("link"));
    // The directory of the library itself.
    let same = root.join("same");
    fs::create_dir(&same).unwrap();
    let library = same.join("libguest.so");
    write(&library, &Build::ledger(1).bytes());
    let mut plugin = open(&library, &same);
    assert_eq!(plugin.step(), Step::Ran(1));
    plugin.close();
    assert_eq!(entries(&same), [library]);
}

#[test]
fn a_relative_path_stays_the_same_file_when_the_host_changes_its_directory() {
    let test = "files::a_relative_path_stays_the_same_file_when_the_host_changes_its_directory";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(bench.directory().join("copies")).unwrap();
    std::env::set_current_dir(bench.directory()).unwrap();
    for path in ["libguest.so", "./libguest.so"] {
        let mut plugin = open(Path::new(path), Path::new("copies"));
        bench.put(&Build::ledger(1));
        assert_eq!(plugin.step(), Step::Ran(1));
        std::env::set_current_dir(elsewhere.path()).unwrap();
        bench.put(&Build::ledger(2));
        assert_eq!(plugin.step(), Step::Ran(2));
        plugin.close();
        std::env::set_current_dir(bench.directory()).unwrap();
        assert_eq!(entries(Path::new("copies")), Vec::<PathBuf>::new());
    }
    // The same words lead to another directory by now: the copies go there.
    let here = open(Path::new("libguest.so"), Path::new("copies"));
    std::env::set_current_dir(elsewhere.path()).unwrap();
    fs::create_dir("copies").unwrap();
    let there = open(&bench.library(), Path::new("copies"));
    assert_eq!(entries(&elsewhere.path().join("copies")).len(), 1);
    drop((here, there));
}

#[test]
fn plugins_whose_names_run_into_each_other_keep_apart() {
    let bench = Bench::new();
    let [one, two] = ["plug", "plug1"].map(|name| bench.directory().join(format!("lib{name}.so")));
    write(&one, &Build::ledger(10).bytes());
    write(&two, &Build::ledger(20).bytes());
    let mut first = open(&one, bench.temporary());
    let mut second = open(&two, bench.temporary());
    for round in 0..12 {
        assert_eq!(first.step(), Step::Ran(10 + round));
        assert_eq!(second.step(), Step::Ran(20 + round));
        write(&one, &Build::ledger(11 + round).bytes());
        write(&two, &Build::ledger(21 + round).bytes());
    }
    assert_eq!(entries(bench.directory()), [one, two]);
    first.close();
    assert_eq!(second.step(), Step::Ran(32));
    second.close();
    assert_eq!(entries(bench.temporary()), Vec::<PathBuf>::new());
}

#[test]
fn two_plugins_of_one_library_keep_apart() {
    let bench = Bench::with(&Build::ledger(1));
    let mut first = open(&bench.library(), bench.temporary());
    let mut second = open(&bench.library(), bench.temporary());
    let ledgers = [reloader_tests::Ledger::new(), reloader_tests::Ledger::new()];
    ledgers[0].give_to(&mut first);
    ledgers[1].give_to(&mut second);
    for _ in 0..3 {
        assert_eq!(first.step(), Step::Ran(1));
    }
    assert_eq!(second.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(second.step(), Step::Ran(2));
    assert_eq!((ledgers[0].count(), ledgers[1].count()), (3, 2));
    assert_eq!(first.step(), Step::Ran(2));
    assert_eq!(ledgers[0].count(), 4);
    first.close();
    assert_eq!(second.step(), Step::Ran(2));
}

/// A library and a guest that finds it through its own place.
fn with_library(at: &str, run_path: &str, old_style: bool) -> (Bench, PathBuf) {
    // A name of its own for each: the loader knows libraries by their SONAME.
    let name = format!("libbeside_{}.so", at.bytes().map(u32::from).sum::<u32>());
    let helper = Build::c("int helper(void); int helper(void) { return 700; }\n")
        .flag(format!("-Wl,-soname,{name}"));
    let tags = if old_style { "-Wl,--disable-new-dtags" } else { "-Wl,--enable-new-dtags" };
    let guest = Build::c(
        r#"
#include "reloader_guest.h"
extern int helper(void);
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx; (void)operation;
    return helper() + GUEST;
}
"#,
    )
    .flag(format!("-Wl,-rpath,{run_path}"))
    .flag(tags)
    .library(&helper.path());
    let bench = Bench::new();
    let directory = bench.directory().join("plugins");
    fs::create_dir(&directory).unwrap();
    let library = directory.join("libguest.so");
    write(&library, &guest.clone().flag("-DGUEST=1").bytes());
    write(&directory.join("next"), &guest.flag("-DGUEST=2").bytes());
    let place = directory.join(at);
    fs::create_dir_all(&place).unwrap();
    fs::copy(helper.path(), place.join(name)).unwrap();
    (bench, library)
}

#[test]
fn libraries_beside_the_original_are_found_from_the_copy() {
    for (at, run_path, old_style) in [
        ("", "$ORIGIN", false),
        (".", "${ORIGIN}", false),
        ("../lib", "$ORIGIN/../lib", false),
        ("deps/more", "/nowhere:$ORIGIN/deps/more", false),
        ("../old", "$ORIGIN/../old", true),
    ] {
        let (bench, library) = with_library(at, run_path, old_style);
        let mut plugin = open(&library, bench.temporary());
        assert_eq!(plugin.step(), Step::Ran(701), "{run_path}");
        fs::rename(library.with_file_name("next"), &library).unwrap();
        assert_eq!(plugin.step(), Step::Ran(702), "{run_path}");
        plugin.close();
        // Through a link to the directory as well.
        symlink(library.parent().unwrap(), bench.directory().join("current")).unwrap();
        let mut plugin = open(&bench.directory().join("current/libguest.so"), bench.temporary());
        assert_eq!(plugin.step(), Step::Ran(702), "{run_path} through a link");
    }
}

#[test]
fn a_version_is_not_disturbed_by_what_becomes_of_the_original() {
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    // Overwritten in place with noise, then cut to nothing, then gone.
    let length = Build::ledger(1).bytes().len();
    write(&bench.library(), &vec![0xcc; length]);
    assert_eq!(plugin.step(), Step::Ran(1));
    write(&bench.library(), b"");
    assert_eq!(plugin.step(), Step::Ran(1));
    fs::remove_dir_all(bench.directory()).unwrap();
    assert_eq!(plugin.step(), Step::Ran(1));
}

#[test]
fn a_private_directory_that_was_cleared_away_is_made_again() {
    // As systems do with what lies in /tmp for long.
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    for directory in entries(bench.temporary()) {
        fs::remove_dir_all(directory).unwrap();
    }
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2), "{:?}", seen.take());
    plugin.close();
    assert_eq!(entries(bench.temporary()), Vec::<PathBuf>::new());
}

#[test]
fn a_temporary_directory_that_is_gone_is_told_and_waited_for() {
    let bench = Bench::with(&Build::ledger(1));
    let temporary = bench.temporary().join("copies");
    fs::create_dir(&temporary).unwrap();
    let (mut plugin, seen) = bench.open_with(|builder| builder.temp_dir(&temporary));
    assert_eq!(plugin.step(), Step::Ran(1));
    seen.forget();
    fs::remove_dir_all(&temporary).unwrap();
    bench.put(&Build::ledger(2));
    for _ in 0..3 {
        assert_eq!(plugin.step(), Step::Ran(1));
    }
    let events = seen.take();
    let [Event::Refused(refusal)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(refusal.kind, RefusalKind::Staging);
    assert!(refusal.reason.contains(temporary.to_str().unwrap()), "{}", refusal.reason);
    fs::create_dir(&temporary).unwrap();
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    plugin.close();
    assert_eq!(entries(&temporary), Vec::<PathBuf>::new());
}

/// A process that runs a plugin: steps at each line it is sent, says what came of it, ends when
/// nothing more is sent.
struct Host {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

const HOST: &str = "files::two_processes_never_touch_each_others_copies";

impl Host {
    fn start(library: &Path, temporary: &Path) -> Self {
        let mut process = alone(HOST)
            .unwrap()
            .env("HOST_LIBRARY", library)
            .env("HOST_TEMPORARY", temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    fn run() -> bool {
        let Some(library) = std::env::var_os("HOST_LIBRARY") else { return false };
        let temporary = std::env::var_os("HOST_TEMPORARY").unwrap();
        let mut plugin = open(Path::new(&library), Path::new(&temporary));
        for line in std::io::stdin().lines() {
            drop(line.unwrap());
            println!("\nstep {:?}", plugin.step());
        }
        plugin.close();
        true
    }

    fn step(&mut self) -> String {
        self.process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the host has ended");
            if let Some(step) = line.strip_prefix("step ") {
                return step.trim().to_owned();
            }
        }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success(), "{rest}");
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn two_processes_never_touch_each_others_copies() {
    if Host::run() {
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let mut first = Host::start(&bench.library(), bench.temporary());
    assert_eq!(first.step(), "Ran(1)");
    bench.put(&Build::ledger(2));
    let mut second = Host::start(&bench.library(), bench.temporary());
    assert_eq!(second.step(), "Ran(2)");
    assert_eq!(entries(bench.temporary()).len(), 2);
    // Each at its own pace.
    for build in 3..8 {
        bench.put(&Build::ledger(build));
        assert_eq!(second.step(), format!("Ran({build})"));
        assert_eq!(first.step(), format!("Ran({build})"));
    }
    second.end();
    assert_eq!(entries(bench.temporary()).len(), 1);
    assert_eq!(first.step(), "Ran(7)");
    bench.put(&Build::ledger(1));
    assert_eq!(first.step(), "Ran(1)");
    first.end();
    assert_eq!(entries(bench.temporary()), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_process_left_is_cleared_away_and_what_a_living_one_has_is_not() {
    let bench = Bench::with(&Build::ledger(1));
    let mut living = Host::start(&bench.library(), bench.temporary());
    assert_eq!(living.step(), "Ran(1)");
    let mut killed = Host::start(&bench.library(), bench.temporary());
    assert_eq!(killed.step(), "Ran(1)");
    let before = entries(bench.temporary());
    assert_eq!(before.len(), 2);
    killed.kill();
    assert_eq!(entries(bench.temporary()), before);
    // Something of a like name that is not ours is left alone.
    fs::create_dir(bench.temporary().join("reloader-notes")).unwrap();
    fs::write(bench.temporary().join("reloader-notes/diary"), "dear diary").unwrap();
    fs::write(bench.temporary().join("reloader-notes/lock"), "").unwrap();
    // Whoever puts something into such a directory finds it again.
    let used = bench.temporary().join("reloader-1-aBcD12");
    fs::create_dir(&used).unwrap();
    for name in ["lock", "diary", "guest.v1-0.so"] {
        fs::write(used.join(name), "").unwrap();
    }
    let mut plugin = open(&bench.library(), bench.temporary());
    assert_eq!(plugin.step(), Step::Ran(1));
    // The living one's, this one's, the two others.
    assert_eq!(entries(bench.temporary()).len(), 4);
    for left in ["reloader-notes/diary", "reloader-notes/lock", "reloader-1-aBcD12/diary"] {
        assert!(bench.temporary().join(left).exists(), "{left}");
    }
    assert!(!used.join("guest.v1-0.so").exists());
    bench.put(&Build::ledger(2));
    assert_eq!(living.step(), "Ran(2)");
    living.end();
    plugin.close();
    assert_eq!(entries(bench.temporary()), [used, bench.temporary().join("reloader-notes")]);
}

#[test]
fn a_fork_of_the_host_leaves_the_copies_to_its_parent() {
    let test = "files::a_fork_of_the_host_leaves_the_copies_to_its_parent";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    let before = bench.copies();
    assert_eq!(before.len(), 1);
    // SAFETY: no other thread of this process holds a lock: the test is alone.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // The child steps, makes a plugin of its own, and ends both.
        let mut good = plugin.step() == Step::Ran(1);
        let mut own = open(&bench.library(), bench.temporary());
        good &= own.step() == Step::Ran(1);
        own.close();
        plugin.close();
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: a child of this process and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    assert_eq!(bench.copies(), before);
    assert_eq!(entries(bench.temporary()).len(), 1);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    plugin.close();
    assert_eq!(entries(bench.temporary()), Vec::<PathBuf>::new());
}

#[test]
fn a_fork_of_the_host_finds_new_builds_without_its_parents_watcher() {
    let test = "files::a_fork_of_the_host_finds_new_builds_without_its_parents_watcher";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open_with(|builder| builder.watch(Watch::Notify));
    assert_eq!(plugin.step(), Step::Ran(1));
    // Compiled here: the child only copies them.
    let builds = [2, 3].map(|build| Build::ledger(build).bytes());
    // SAFETY: no other thread of this process holds a lock: the test is alone.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: ends a child that hangs.
        unsafe { libc::alarm(60) };
        bench.put_bytes(&builds[0]);
        plugin.check();
        let mut good = plugin.step() == Step::Ran(2);
        bench.put_bytes(&builds[1]);
        step_until(&mut plugin, |step| step == Step::Ran(3));
        good &= plugin.version() == Some(3);
        plugin.close();
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: a child of this process and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    step_until(&mut plugin, |step| step == Step::Ran(3));
}

#[test]
fn a_host_and_its_fork_copy_the_same_builds_side_by_side() {
    let test = "files::a_host_and_its_fork_copy_the_same_builds_side_by_side";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, events) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(1));
    let builds = [2, 3].map(|build| Build::ledger(build).bytes());
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let (mut childs, mut answer) = std::io::pipe().unwrap();
    bench.put_bytes(&builds[0]);
    // SAFETY: no other thread of this process holds a lock: the test is alone.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: ends a child that hangs.
        unsafe { libc::alarm(60) };
        plugin.check();
        let mut good = plugin.step() == Step::Ran(2);
        good &= Write::write_all(&mut answer, b"2").is_ok();
        // The parent has made its copy of the second build, and put the third.
        let mut word = [0];
        good &= reader.read_exact(&mut word).is_ok();
        plugin.check();
        good &= plugin.step() == Step::Ran(3);
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    plugin.check();
    assert_eq!(plugin.step(), Step::Ran(2), "{:?}", events.words());
    drop(answer);
    childs.read_exact(&mut [0]).unwrap();
    bench.put_bytes(&builds[1]);
    Write::write_all(&mut writer, b"3").unwrap();
    plugin.check();
    assert_eq!(plugin.step(), Step::Ran(3), "{:?}", events.words());
    let mut status = 0;
    // SAFETY: a child of this process and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
}

#[test]
fn a_fork_of_the_host_runs_on_with_the_versions_that_it_had() {
    let test = "files::a_fork_of_the_host_runs_on_with_the_versions_that_it_had";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let (mut plugin, _) = bench.open_with(|builder| builder.history(0));
    assert_eq!(plugin.step(), Step::Ran(1));
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: no other thread of this process holds a lock: the test is alone.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        drop(writer);
        let mut word = Vec::new();
        let told = reader.read_to_end(&mut word).is_ok();
        // The parent has retired its version 1 long ago.
        let good = told && plugin.step_without_check() == Step::Ran(1);
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    for round in 0..6 {
        // With other code at the same place in the file.
        let build = 2 + round;
        bench.put(&Build::ledger(build).flag("-O2"));
        assert_eq!(plugin.step(), Step::Ran(build));
    }
    drop(writer);
    let mut status = 0;
    // SAFETY: a child of this process and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it_and_the_cure() {
    let bench = Bench::new();
    let error = bench.builder().open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.path(), Some(&*bench.library()));
    let text = error.to_string();
    assert!(text.contains("libguest.so") && text.contains("build it"), "{text}");
    assert_eq!(entries(bench.temporary()), Vec::<PathBuf>::new());
}

#[test]
fn a_directory_is_an_error_that_names_it_and_the_cure() {
    let bench = Bench::new();
    let error = Plugin::builder(bench.directory()).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAFile);
    let text = error.to_string();
    assert!(
        text.contains(bench.directory().to_str().unwrap()) && text.contains("name the library"),
        "{text}"
    );
}

#[test]
fn a_temporary_directory_that_is_missing_or_none_is_an_error_that_names_it_and_the_cure() {
    let bench = Bench::with(&Build::ledger(1));
    let file = bench.temporary().join("file");
    fs::write(&file, "").unwrap();
    for bad in [bench.temporary().join("missing/one"), file.clone(), PathBuf::from("/proc/self")] {
        let error = Plugin::builder(bench.library()).temp_dir(&bad).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemporaryDirectory);
        assert_eq!(error.path(), Some(&*bad));
        let text = error.to_string();
        assert!(text.contains(bad.to_str().unwrap()) && text.contains("temp_dir"), "{text}");
    }
}

#[test]
fn a_temporary_directory_that_the_loader_would_read_otherwise_is_an_error_that_names_it() {
    let bench = Bench::with(&Build::ledger(1));
    for name in ["$ORIGIN", "a${LIB}b", "$PLATFORM"] {
        let bad = bench.temporary().join(name);
        fs::create_dir(&bad).unwrap();
        let error = Plugin::builder(bench.library()).temp_dir(&bad).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TemporaryDirectory);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("temp_dir"), "{text}");
    }
}

#[test]
fn what_may_not_be_read_or_written_is_an_error_that_names_it_and_the_cure() {
    let test = "files::what_may_not_be_read_or_written_is_an_error_that_names_it_and_the_cure";
    if let Some(command) = alone(test) {
        pass(command);
        return;
    }
    let bench = Bench::with(&Build::ledger(1));
    let closed = bench.directory().join("closed");
    fs::create_dir(&closed).unwrap();
    write(&closed.join("libguest.so"), &Build::ledger(1).bytes());
    let unreadable = bench.directory().join("unreadable.so");
    write(&unreadable, &Build::ledger(1).bytes());
    let unwritable = bench.temporary().join("unwritable");
    fs::create_dir(&unwritable).unwrap();
    let writable = bench.temporary().join("writable");
    fs::create_dir(&writable).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(bench.directory(), 0o777);
    mode(bench.temporary(), 0o755);
    mode(&bench.library(), 0o644);
    mode(&closed, 0o000);
    mode(&unreadable, 0o000);
    mode(&unwritable, 0o555);
    mode(&writable, 0o777);
    let bytes = Build::ledger(1).bytes();
    // SAFETY: no arguments.
    let root = unsafe { libc::geteuid() } == 0;
    if root {
        // SAFETY: numbers only. Root may do everything, nobody may not; it becomes root again for
        // the clean-up.
        assert_eq!(unsafe { libc::setresuid(65_534, 65_534, 0) }, 0);
    }
    let refused = |path: &Path| Plugin::builder(path).temp_dir(&writable).open().unwrap_err();
    let errors = [
        refused(&closed.join("libguest.so")),
        refused(&unreadable),
        Plugin::builder(bench.library()).temp_dir(&unwritable).open().unwrap_err(),
    ];
    // What becomes unreadable later is a refusal.
    let own = writable.join("libguest.so");
    write(&own, &bytes);
    let seen = Seen::default();
    let poll = Watch::Poll(std::time::Duration::ZERO);
    let mut plugin = Plugin::builder(&own)
        .temp_dir(&writable)
        .watch(poll)
        .on_event(seen.callback())
        .open()
        .unwrap();
    assert_eq!(plugin.step(), Step::Ran(1));
    seen.forget();
    mode(&own, 0o000);
    for _ in 0..3 {
        assert_eq!(plugin.step(), Step::Ran(1));
    }
    let events = seen.take();
    mode(&own, 0o644);
    let again = plugin.step();
    plugin.close();
    if root {
        // SAFETY: as above; root is still the saved one.
        assert_eq!(unsafe { libc::setresuid(0, 0, 0) }, 0);
    }
    mode(&closed, 0o755);
    let [closed_error, unreadable_error, unwritable_error] = errors;
    assert_eq!(closed_error.kind(), ErrorKind::PermissionDenied);
    assert!(closed_error.to_string().contains("check its permissions"), "{closed_error}");
    assert_eq!(unreadable_error.kind(), ErrorKind::PermissionDenied);
    assert!(unreadable_error.to_string().contains("unreadable.so"), "{unreadable_error}");
    assert_eq!(unwritable_error.kind(), ErrorKind::TemporaryDirectory);
    assert!(unwritable_error.to_string().contains("temp_dir"), "{unwritable_error}");
    let [Event::Refused(refusal)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(refusal.kind, RefusalKind::Staging);
    assert!(refusal.reason.contains("read"), "{}", refusal.reason);
    assert_eq!(again, Step::Ran(1));
}
