//! What a guest leaves with the C library and the kernel does not lead into a hole.

use reloader::{Event, Memory, Plugin, Step};
use reloader_tests::{Bench, Build, Seen, apart, step_until};

/// A guest that does `load` when it is loaded and `step` in each step.
fn guest(globals: &str, load: &str, step: &str) -> Build {
    Build::c(format!(
        r#"#include "reloader_guest.h"
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
{globals}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    (void)ctx;
    if (operation == CR_LOAD) {{ {load} }}
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}"#
    ))
}

fn harmless() -> Build {
    guest("", "", "")
}

fn retired(seen: &Seen) -> Vec<(u32, Memory)> {
    let retired = |event| match event {
        Event::Retired { version, memory } => Some((version, memory)),
        _ => None,
    };
    seen.take().into_iter().filter_map(retired).collect()
}

fn open(bench: &Bench) -> (Plugin, Seen) {
    let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
    assert_eq!(plugin.step(), Step::Ran(0));
    (plugin, seen)
}

#[test]
fn a_version_that_handles_a_signal_stays() {
    apart(|| {
        let globals = "static void handle(int signal) { (void)signal; }";
        let bench = Bench::with(&guest(globals, "signal(SIGUSR1, handle);", ""));
        let (mut plugin, seen) = open(&bench);
        bench.put(&harmless());
        assert_eq!(plugin.step(), Step::Ran(0));
        assert_eq!(retired(&seen), [(1, Memory::SignalHandler { signal: libc::SIGUSR1 })]);
        raise(libc::SIGUSR1);
    });
}

#[test]
fn fork_handlers_go_with_their_image_also_after_a_crash() {
    apart(|| {
        let globals = "static void around(void) {}";
        let load = "pthread_atfork(around, around, around);";
        for step in ["", "abort();"] {
            let bench = Bench::with(&harmless());
            let (mut plugin, seen) = open(&bench);
            bench.put(&guest(globals, load, step));
            let ran = plugin.step() == Step::Ran(0);
            assert_eq!(ran, step.is_empty());
            bench.put(&harmless());
            step_until(&mut plugin, |step| step == Step::Ran(0));
            plugin.close();
            assert!(retired(&seen).iter().all(|(_, memory)| *memory == Memory::Unmapped));
            fork();
        }
    });
}

#[test]
fn keys_of_threads_go_with_their_image() {
    apart(|| {
        let globals = "static pthread_key_t key; static void end(void *value) { (void)value; }";
        let load = "if (pthread_key_create(&key, end)) abort();";
        let bench = Bench::with(&guest(globals, load, "pthread_setspecific(key, &key);"));
        let thread = std::thread::spawn({
            let library = bench.library();
            move || {
                let mut plugin = Plugin::builder(library).open().unwrap();
                assert_eq!(plugin.step(), Step::Ran(0));
                plugin.close();
            }
        });
        thread.join().unwrap();
        assert_eq!(bench.mappings(), Vec::<String>::new());
    });
}

#[test]
fn a_handler_of_a_library_that_goes_with_its_guest_is_taken_back() {
    apart(|| {
        let helper = Build::c(
            "#include <signal.h>\nstatic void handle(int s) { (void)s; __builtin_trap(); }\n\
             void arm(void); void arm(void) { signal(SIGSEGV, handle); }\n",
        )
        .flag("-Wl,-soname,libarms.so");
        let guest = guest("void arm(void);", "arm();", "")
            .library(&helper.path())
            .flag("-Wl,-rpath,$ORIGIN");
        let bench = Bench::new();
        std::fs::copy(helper.path(), bench.directory().join("libarms.so")).unwrap();
        bench.put(&guest);
        let (mut plugin, _) = open(&bench);
        bench.put(&harmless());
        assert_eq!(plugin.step(), Step::Ran(0));
        bench.put(&self::guest("", "", "*(volatile int *)8 = 1;"));
        assert!(matches!(plugin.step(), Step::Failed(_)));
    });
}

#[test]
fn a_guest_that_resets_the_handlers_of_faults_does_not_disarm_the_guard() {
    apart(|| {
        let bench = Bench::with(&guest("", "signal(SIGSEGV, SIG_DFL);", ""));
        let (mut plugin, _) = open(&bench);
        bench.put(&guest("", "", "*(volatile int *)8 = 1;"));
        assert!(matches!(plugin.step(), Step::Failed(_)));
    });
}

#[allow(unsafe_code, reason = "a signal to this process")]
fn raise(signal: i32) {
    // SAFETY: the handler that is called belongs to an image that is mapped, which is what is
    // tested.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

#[allow(unsafe_code, reason = "a fork of this process")]
fn fork() {
    // SAFETY: the child ends at once, without running anything of ours.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0);
    }
}
