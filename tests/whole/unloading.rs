//! Old images go when nothing needs them, and where one stays it is said why.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;

use reloader::{Event, Memory, Plugin, Step};
use reloader_tests::{Bench, Build, PEN, Paper, Seen, apart};

fn guest(build: i32) -> Build {
    Build::c(format!(
        r#"#include "reloader_guest.h"
static int CR_STATE count = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    (void)ctx;
    if (operation == CR_STEP) count++;
    return {build} * 100 + count;
}}"#
    ))
}

fn retired(seen: &Seen) -> Vec<(u32, Memory)> {
    seen.take()
        .into_iter()
        .filter_map(|event| match event {
            Event::Retired { version, memory } => Some((version, memory)),
            _ => None,
        })
        .collect()
}

/// The versions whose images are in memory.
fn mapped(bench: &Bench) -> Vec<u32> {
    let mut versions: Vec<u32> = bench
        .mappings()
        .iter()
        .map(|line| {
            let version = line.rsplit_once(".v").unwrap().1.split_once('-').unwrap().0;
            version.parse().unwrap()
        })
        .collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

#[test]
fn without_a_history_an_old_image_goes_at_once() {
    apart(|| {
        let bench = Bench::with(&guest(1));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        assert_eq!(plugin.step(), Step::Ran(101));
        for build in 2..6_u8 {
            bench.put(&guest(i32::from(build)));
            assert_eq!(plugin.step(), Step::Ran(101 * i32::from(build)));
            assert_eq!(retired(&seen), [(u32::from(build) - 1, Memory::Unmapped)]);
            assert_eq!(mapped(&bench), [u32::from(build)]);
            // The file of the one that went may be kept for the next.
            assert!(bench.copies().len() <= 2);
        }
        plugin.close();
        assert_eq!(retired(&seen), [(5, Memory::Unmapped)]);
        assert_eq!(mapped(&bench), []);
    });
}

#[test]
fn the_history_keeps_its_images_and_what_it_evicts_goes() {
    apart(|| {
        let bench = Bench::with(&guest(1));
        let (mut plugin, seen) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(101));
        for build in 2..9 {
            bench.put(&guest(build));
            assert_eq!(plugin.step(), Step::Ran(101 * build));
        }
        assert_eq!(plugin.history(), [5, 6, 7]);
        assert_eq!(retired(&seen), [1, 2, 3, 4].map(|version| (version, Memory::Unmapped)));
        assert_eq!(mapped(&bench), [5, 6, 7, 8]);
        plugin.close();
        assert_eq!(retired(&seen), [5, 6, 7, 8].map(|version| (version, Memory::Unmapped)));
        assert_eq!(mapped(&bench), []);
    });
}

#[test]
fn a_library_that_forbids_unloading_goes_all_the_same() {
    apart(|| {
        let build = |number| guest(number).flag("-Wl,-z,nodelete");
        let bench = Bench::with(&build(1));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        assert_eq!(plugin.step(), Step::Ran(101));
        bench.put(&build(2));
        assert_eq!(plugin.step(), Step::Ran(202));
        assert_eq!(retired(&seen), [(1, Memory::Unmapped)]);
        assert_eq!(mapped(&bench), [2]);
    });
}

/// A guest whose first build starts a thread that does `work` in its own code; the host's pipe is
/// in the file descriptor that the context's pointer stands for.
fn with_thread(build: i32, work: &str) -> Build {
    Build::c(format!(
        r#"#include "reloader_guest.h"
#include <poll.h>
#include <pthread.h>
#include <unistd.h>
static volatile int inside;
static int pipe_of_host;
static int is_told(void) {{ struct pollfd pipe = {{ pipe_of_host, POLLIN, 0 }}; return poll(&pipe, 1, 0) == 1; }}
static void *run(void *unused) {{
    char byte;
    (void)unused; (void)byte; (void)is_told;
    inside = 1;
    {work}
    return 0;
}}
static int CR_STATE started = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    pipe_of_host = (int)(long)ctx->userdata;
    if (operation == CR_STEP && !started) {{
        pthread_t thread;
        pthread_create(&thread, 0, run, 0);
        pthread_detach(thread);
        while (!inside) usleep(100);
        started = 1;
    }}
    return {build};
}}"#
    ))
}

/// The threads of this process.
fn threads() -> Vec<u32> {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect()
}

fn wait_until_gone(thread: u32) {
    let task = format!("/proc/self/task/{thread}");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::path::Path::new(&task).exists() {
        assert!(std::time::Instant::now() < until, "thread {thread} does not end");
        std::thread::yield_now();
    }
}

const BLOCKED: &str = "while (read(pipe_of_host, &byte, 1) < 0) {}";
/// A little work in between, so that it is not always the same instruction.
const SPINNING: &str =
    "while (!is_told()) for (int i = 0; i < 100000; i++) __asm__ volatile(\"\" : \"+r\"(i));";

fn a_thread_keeps_its_image(work: &str) {
    let build = |number| with_thread(number, work);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bench = Bench::with(&build(1));
    let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
    plugin.set_userdata(reader.as_raw_fd() as usize as *mut _);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&build(2));
    assert_eq!(plugin.step(), Step::Ran(2));
    let first = retired(&seen);
    let [(1, Memory::ThreadInside { thread })] = first.as_slice() else { panic!("{first:?}") };
    assert!(threads().contains(thread));
    assert_eq!(mapped(&bench), [1, 2]);
    // It is said once; the second goes, the first stays.
    bench.put(&build(3));
    assert_eq!(plugin.step(), Step::Ran(3));
    assert_eq!(retired(&seen), [(2, Memory::Unmapped)]);
    assert_eq!(mapped(&bench), [1, 3]);
    writer.write_all(b"x").unwrap();
    wait_until_gone(*thread);
    bench.put(&build(4));
    assert_eq!(plugin.step(), Step::Ran(4));
    let mut last = retired(&seen);
    last.sort_by_key(|(version, _)| *version);
    assert_eq!(last, [(1, Memory::Unmapped), (3, Memory::Unmapped)]);
    assert_eq!(mapped(&bench), [4]);
    plugin.close();
    assert_eq!(mapped(&bench), []);
}

#[test]
fn a_thread_that_waits_in_a_system_call_keeps_its_image_until_it_ends() {
    apart(|| {
        a_thread_keeps_its_image(BLOCKED);
    });
}

#[test]
fn a_thread_that_runs_keeps_its_image_until_it_ends() {
    apart(|| {
        a_thread_keeps_its_image(SPINNING);
    });
}

/// The thread calls something of the C library that calls back: only its stack leads into the
/// guest.
#[test]
fn a_thread_whose_stack_leads_into_an_image_keeps_it() {
    apart(|| {
        a_thread_keeps_its_image(
            "struct timespec long_time = { 0, 1000000 }; while (!is_told()) nanosleep(&long_time, 0);",
        );
    });
}

#[test]
fn a_thread_that_outlives_the_plugin_keeps_running() {
    apart(|| {
        for work in [BLOCKED, SPINNING] {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let bench = Bench::with(&with_thread(1, work));
            let (mut plugin, seen) = bench.open();
            plugin.set_userdata(reader.as_raw_fd() as usize as *mut _);
            assert_eq!(plugin.step(), Step::Ran(1));
            plugin.close();
            let told = retired(&seen);
            let [(1, Memory::ThreadInside { thread })] = told.as_slice() else {
                panic!("{told:?}")
            };
            assert_eq!(mapped(&bench), [1]);
            assert_eq!(bench.copies().len(), 0);
            writer.write_all(b"x").unwrap();
            wait_until_gone(*thread);
        }
    });
}

#[test]
fn what_a_thread_held_goes_when_the_plugin_is_closed_after_its_end() {
    apart(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let bench = Bench::with(&with_thread(1, BLOCKED));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        plugin.set_userdata(reader.as_raw_fd() as usize as *mut _);
        assert_eq!(plugin.step(), Step::Ran(1));
        bench.put(&with_thread(2, BLOCKED));
        assert_eq!(plugin.step(), Step::Ran(2));
        let told = retired(&seen);
        let [(1, Memory::ThreadInside { thread })] = told.as_slice() else { panic!("{told:?}") };
        writer.write_all(b"x").unwrap();
        wait_until_gone(*thread);
        plugin.close();
        let mut last = retired(&seen);
        last.sort_by_key(|(version, _)| *version);
        assert_eq!(last, [(1, Memory::Unmapped), (2, Memory::Unmapped)]);
        assert_eq!(mapped(&bench), []);
    });
}

/// A C++ guest with `globals`, which does `step`.
fn cxx(globals: &str, step: &str) -> Build {
    Build::cxx(format!(
        r#"{PEN}
#include <string>
#include <vector>
{globals}
CR_EXPORT int cr_main(cr_plugin *ctx, cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}"#
    ))
}

fn step(plugin: &mut Plugin, paper: &Paper) -> String {
    assert_eq!(plugin.step(), Step::Ran(0));
    paper.take()
}

#[test]
fn unique_symbols_keep_no_image_and_are_shared_by_none() {
    apart(|| {
        let build = |initial: i32| {
            cxx(
                &format!(
                    r#"
template <class T> struct Shared {{ static int value; static int &local() {{ static int n = {initial}; return n; }} }};
template <class T> int Shared<T>::value = {initial};
inline int inlined = {initial};
inline int &counter() {{ static int n = {initial}; return n; }}"#
                ),
                r#"say("%d %d %d %d", ++Shared<int>::value, ++Shared<int>::local(), ++inlined, ++counter());"#,
            )
        };
        assert!(nm_has_unique(&build(10)), "this compiler makes none, and the test shows nothing");
        let paper = Paper::new();
        let bench = Bench::with(&build(10));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "11 11 11 11");
        assert_eq!(step(&mut plugin, &paper), "12 12 12 12");
        bench.put(&build(20));
        assert_eq!(step(&mut plugin, &paper), "21 21 21 21");
        assert_eq!(retired(&seen), [(1, Memory::Unmapped)]);
        assert_eq!(mapped(&bench), [2]);
    });
}

fn nm_has_unique(build: &Build) -> bool {
    let output = std::process::Command::new("nm").arg(build.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().any(|line| line.contains(" u "))
}

/// A guest with an object of each thread's own, whose destruction it counts in `*destroyed`.
fn with_thread_locals() -> Build {
    cxx(
        r#"static int *destroyed;
struct Loud { int value = 0; ~Loud() { value = -1; if (destroyed) ++*destroyed; } };
static thread_local Loud loud;
CR_EXPORT void touch(int *counter) { destroyed = counter; loud.value++; }"#,
        r#"loud.value++; say("%d", loud.value);"#,
    )
}

fn without_thread_locals() -> Build {
    cxx("static thread_local int plain = 5;", r#"say("%d", plain++);"#)
}

type Touch = unsafe extern "C" fn(*mut i32);

#[test]
#[allow(unsafe_code, reason = "a function of the guest is called directly")]
fn thread_local_objects_of_the_thread_that_steps_go_with_their_version() {
    apart(|| {
        let paper = Paper::new();
        let bench = Bench::with(&with_thread_locals());
        let mut destroyed = 0;
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "1");
        // SAFETY: this is how the guest defines it.
        unsafe { plugin.symbol::<Touch>("touch").unwrap()(&raw mut destroyed) };
        bench.put(&without_thread_locals());
        assert_eq!(step(&mut plugin, &paper), "5");
        assert_eq!(retired(&seen), [(1, Memory::Unmapped)]);
        assert_eq!((mapped(&bench), destroyed), (vec![2], 1));
    });
}

/// Other threads' objects are theirs: they are destroyed when the threads end, and until then the
/// image stays.
#[test]
#[allow(unsafe_code, reason = "a function of the guest is called directly")]
fn thread_local_objects_of_a_thread_that_lives_on_keep_the_image_and_it_is_said() {
    apart(|| {
        let paper = Paper::new();
        let bench = Bench::with(&with_thread_locals());
        let destroyed = Box::leak(Box::new(0));
        let counter = std::ptr::from_mut(destroyed).addr();
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "1");
        // SAFETY: this is how the guest defines it.
        let touch = *unsafe { plugin.symbol::<Touch>("touch") }.unwrap();
        let (touched, wait) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // SAFETY: the guest is mapped until this thread's objects are gone, and the counter for
            // good.
            unsafe { touch(counter as *mut i32) };
            touched.send(()).unwrap();
            ended.recv().unwrap();
        });
        wait.recv().unwrap();
        bench.put(&without_thread_locals());
        assert_eq!(step(&mut plugin, &paper), "5");
        assert_eq!(retired(&seen), [(1, Memory::ThreadLocals)]);
        assert_eq!(mapped(&bench), [1, 2]);
        end.send(()).unwrap();
        thread.join().unwrap();
        // SAFETY: nobody else looks at it any more but the guest, which does not run.
        assert_eq!(unsafe { (counter as *const i32).read() }, 1, "its thread's end destroyed it");
        bench.put(&with_thread_locals());
        assert_eq!(step(&mut plugin, &paper), "1");
        assert_eq!(retired(&seen), [(2, Memory::Unmapped), (1, Memory::Unmapped)]);
        assert_eq!(mapped(&bench), [3]);
    });
}

/// Somebody else in the process has opened the copy.
#[test]
fn a_handle_that_somebody_holds_is_reported() {
    apart(|| {
        let build = Build::c(
            r#"#include "reloader_guest.h"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
static const char *name(void) {
    struct link_map *map = _r_debug.r_map;
    for (; map; map = map->l_next)
        if (map->l_ld == _DYNAMIC) return map->l_name;
    return 0;
}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    if (operation == CR_STEP) return dlopen(name(), RTLD_NOW) ? 0 : -1;
    return 0;
}"#,
        );
        let bench = Bench::with(&build);
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        assert_eq!(plugin.step(), Step::Ran(0));
        bench.put(&guest(2));
        assert_eq!(plugin.step(), Step::Ran(201));
        assert_eq!(retired(&seen), [(1, Memory::Held)]);
        assert_eq!(mapped(&bench), [1, 2]);
    });
}
