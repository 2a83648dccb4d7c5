//! What a watch leaves behind, however it ends: nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reloader_tests::{alone, tool};
use rendezvous::{Means, Process, Watch, WatchOptions};

use crate::events::Watched;
use crate::target::Target;
use crate::workshop::Work;

/// The function that the loader calls, and the first bytes of it.
fn function(target: &Target) -> (u64, Vec<u8>) {
    let process = Process::open(target.pid()).unwrap();
    let rendezvous = process.locate().unwrap().found().unwrap();
    let address = rendezvous.heads(&process).unwrap()[0].breakpoint;
    (address, target.bytes_at(address, 8))
}

/// Who traces it; 0: nobody.
fn tracer(target: &Target) -> i32 {
    let status = fs::read_to_string(format!("/proc/{}/status", target.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    line.unwrap().trim().parse().unwrap()
}

/// Waits for something that another process does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "{what} does not come");
        std::thread::yield_now();
    }
}

/// It is as if nobody had ever watched it: it loads, has its code, and ends as it likes.
fn is_unharmed(mut target: Target, text: &(u64, Vec<u8>), means: Means) {
    until("the end of the tracing", || tracer(&target) == 0);
    // The kernel's own breakpoint goes when it is run into, if somebody else still wants it
    // elsewhere.
    if means != Means::Uprobe {
        assert_eq!(target.bytes_at(text.0, 8), text.1, "{means}");
    }
    let library = Work::library("a").make().unwrap();
    let handle = target.open(&library);
    target.close(&handle);
    assert_eq!(target.ask(&format!("churn {}", library.display())), "churned");
    assert_eq!(target.ask(&format!("fork {}", library.display())), "child 42");
    target.signals();
    assert_eq!(target.bytes_at(text.0, 8), text.1, "{means}");
    assert_eq!(target.exit(7), 7);
}

#[test]
fn a_watch_that_is_dropped_leaves_the_target_as_it_was() {
    let Some(program) = Work::program().make() else { return };
    for means in Means::ALL {
        let target = Target::start(&program);
        let text = function(&target);
        let Some(Watched { watch, mut target }) = Watched::by(means, target) else { continue };
        let armed = target.bytes_at(text.0, 8);
        match means {
            Means::Breakpoint => assert_ne!(armed, text.1, "nothing was there to be taken away"),
            // The kernel's own is in the page of the file, which `/proc/PID/mem` shows.
            Means::Uprobe => {}
            _ => assert_eq!(armed, text.1),
        }
        assert_eq!(tracer(&target) != 0, means.is_exact(), "{means}");
        target.signals();
        drop(watch);
        is_unharmed(target, &text, means);
    }
}

/// A process that watches, in the middle of a test of this name.
fn watcher(test: &str, means: Means, target: &Target, end: &str) -> Child {
    let mut command = alone(test).unwrap();
    command
        .env("WATCH_PID", target.pid().to_string())
        .env("WATCH_MEANS", means.as_str())
        .env("WATCH_END", end)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("watching")), "{means}: the watcher does not begin");
    // What else it says, until its end; a pipe that nobody reads would end it.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Watches in the process that `watcher` has started, until it is killed.
fn be_a_watcher() {
    let variable = |name| std::env::var(name).unwrap();
    let options = WatchOptions {
        means: vec![variable("WATCH_MEANS").parse().unwrap()],
        ..WatchOptions::default()
    };
    let watch = Watch::with(variable("WATCH_PID").parse().unwrap(), &options).unwrap();
    println!("watching");
    for event in watch {
        event.unwrap();
        assert_ne!(variable("WATCH_END"), "panic", "as it was asked to");
    }
}

/// However the watcher ends, in the middle of a target's work or at rest.
fn the_end_of_a_watcher_does_no_harm(test: &str) {
    let (Some(program), Some(library), Some(other)) =
        (Work::program().make(), Work::library("a").make(), Work::library("b").make())
    else {
        return;
    };
    let churn = format!("churn {}", library.display());
    for means in Means::ALL {
        let probe = Target::start(&program);
        if Watched::by(means, probe).is_none() {
            continue;
        }
        for (end, signal, is_busy) in [
            ("SIGKILL", libc::SIGKILL, false),
            ("SIGKILL", libc::SIGKILL, true),
            ("SIGTERM", libc::SIGTERM, false),
            ("SIGTERM", libc::SIGTERM, true),
            ("panic", 0, false),
        ] {
            let mut target = Target::start(&program);
            let text = function(&target);
            let mut watcher = watcher(test, means, &target, end);
            if is_busy {
                target.tell(&churn);
            }
            if signal != 0 {
                // SAFETY: the child has not been waited for, so that its number is its own.
                unsafe { libc::kill(watcher.id() as i32, signal) };
            } else {
                // Something that it sees by any means.
                target.open(&other);
            }
            let status = watcher.wait().unwrap();
            assert_eq!(status.signal().unwrap_or(0), signal, "{means}, {end}: {status}");
            if is_busy {
                target.expect("churned");
            }
            is_unharmed(target, &text, means);
        }
    }
}

#[test]
fn a_watcher_that_is_killed_or_panics_leaves_the_target_as_it_was() {
    let test = "harm::a_watcher_that_is_killed_or_panics_leaves_the_target_as_it_was";
    match alone(test) {
        None => be_a_watcher(),
        Some(_) => the_end_of_a_watcher_does_no_harm(test),
    }
}

#[test]
fn a_tracer_that_is_killed_is_replaced() {
    let (Some(program), Some(library)) = (Work::program().make(), Work::library("a").make()) else {
        return;
    };
    let open = format!("open {}", library.display());
    for means in Means::ALL.into_iter().filter(|means| means.is_exact()) {
        let target = Target::start(&program);
        let text = function(&target);
        let Some(mut watched) = Watched::by(means, target) else { continue };
        let first = tracer(&watched.target);
        // SAFETY: the tracer is alive, since it traces; it is the watch's own child.
        unsafe { libc::kill(first, libc::SIGKILL) };
        until("another tracer", || {
            assert!(watched.watch.next_ready().is_none());
            ![0, first].contains(&tracer(&watched.target))
        });
        watched.sees(&open, "handle 0", &["+liba.so"]);
        watched.sees("close 0", "closed 0", &["-liba.so"]);
        let Watched { watch, target } = watched;
        drop(watch);
        is_unharmed(target, &text, means);
    }
}

#[test]
fn the_death_of_the_target_is_an_event_and_its_own() {
    let Some(program) = Work::program().make() else { return };
    for means in Means::ALL {
        for (command, signal) in [("crash", libc::SIGSEGV), ("alive", libc::SIGKILL)] {
            let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
            watched.target.tell(command);
            if signal == libc::SIGKILL {
                watched.target.signal(signal);
            }
            let events: Vec<_> = watched.watch.by_ref().map(Result::unwrap).collect();
            assert_eq!(events, [rendezvous::Event::Exit], "{means}");
            assert_eq!(watched.target.end_by_signal(), Some(signal), "{means}");
        }
    }
}

#[test]
fn signals_and_stops_are_the_targets_own() {
    let Some(program) = Work::program().make() else { return };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        for _ in 0..10 {
            watched.target.signal(libc::SIGUSR1);
        }
        watched.sees(&format!("raise {}", libc::SIGUSR1), "raised 0", &[]);
        let signals = watched.target.signals();
        // Those that come while one is waiting are one.
        assert!((2..=11).contains(&signals), "{means}: {signals}");
        watched.target.signal(libc::SIGSTOP);
        assert!(watched.target.change(libc::WUNTRACED, libc::WIFSTOPPED), "{means}");
        watched.target.signal(libc::SIGCONT);
        assert!(watched.target.change(libc::WCONTINUED, libc::WIFCONTINUED), "{means}");
        watched.sees("alive", "alive", &[]);
        // Stopped again while the watch ends, it stays so until it is told to go on.
        watched.target.signal(libc::SIGSTOP);
        assert!(watched.target.change(libc::WUNTRACED, libc::WIFSTOPPED), "{means}");
        let Watched { watch, mut target } = watched;
        drop(watch);
        // Let go by its tracer, it goes back into the stop by itself.
        until("the stop", || target.state() == 'T');
        target.signal(libc::SIGCONT);
        target.signals();
        assert_eq!(target.exit(7), 7);
    }
}

#[test]
fn threads_and_children_of_a_watched_target_run_and_none_is_missed() {
    let (Some(program), Some(library)) = (Work::program().make(), Work::library("a").make()) else {
        return;
    };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        watched.sees(&format!("fork {}", library.display()), "child 42", &[]);
        // Four threads that did not exist when the watch began, all at once.
        let (mut added, mut removed) = (0, 0);
        let said =
            watched.while_doing(&format!("churn {}", library.display()), |event| {
                match event.as_str() {
                    "+liba.so" => added += 1,
                    "-liba.so" => removed += 1,
                    other => panic!("{other}"),
                }
            });
        assert_eq!(said, "churned");
        if means.is_exact() {
            assert!(added > 0 && added == removed, "{means}: {added} and {removed}");
        }
        // Whatever it has seen of it, it sees that nothing is left.
        while watched.watch.modules().any(|it| it.path().ends_with(b"/liba.so")) {
            watched.watch.next().unwrap().unwrap();
        }
        drop(watched.watch);
        assert_eq!(watched.target.exit(7), 7);
    }
}

/// What the target of a test is made of besides what all are.
fn program_that(source: &str) -> Option<std::path::PathBuf> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("extra.h");
    fs::write(&path, source).unwrap();
    Work::program().flag(format!("-DEXTRA=\"{}\"", path.display())).make()
}

/// A target that never ends what it does: the last of its lines says what went wrong.
const RESTLESS: &str = r#"
#include <dlfcn.h>
#include <sys/wait.h>
static const char *library;
static void *load(void *none) {
    for (;;) { void *handle = dlopen(library, RTLD_NOW); if (handle) dlclose(handle); }
    return none;
}
static void *becomes(void *none) {
    usleep(1500);
    execl("/proc/self/exe", "exec", library, (char *)0);
    return none;
}
static void *nothing(void *none) { return none; }
__attribute__((constructor)) static void restless(int count, char **arguments) {
    if (count != 2) return;
    library = arguments[1];
    pthread_t thread;
    if (!strcmp(arguments[0], "exec")) {
        pthread_create(&thread, 0, load, 0);
        pthread_create(&thread, 0, becomes, 0);
        for (;;) pause();
    }
    if (!strcmp(arguments[0], "threads")) for (;;) {
        if (pthread_create(&thread, 0, nothing, 0)) _exit(5);
        pthread_join(thread, 0);
    }
    if (!strcmp(arguments[0], "fork")) for (;;) {
        pid_t child = fork();
        if (!child) { usleep(300); _exit(dlopen(library, RTLD_NOW) ? 0 : 1); }
        int status = 0;
        while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
        if (status) _exit(4);
    }
}
"#;

/// Watches a target that never rests, again and again, each time for a little longer.
fn a_restless_target_lives(kind: &str, rounds: u32) {
    let (Some(program), Some(library)) = (program_that(RESTLESS), Work::library("a").make()) else {
        return;
    };
    for means in Means::ALL.into_iter().filter(|means| means.is_exact()) {
        let mut command = Command::new(&program);
        std::os::unix::process::CommandExt::arg0(&mut command, kind);
        let mut target = Target::of_started(command.arg(&library));
        let options = WatchOptions { means: vec![means], ..WatchOptions::default() };
        let mut watched = 0;
        for round in 0..rounds {
            // One that is between two programs cannot be read, or not be attached to.
            let watch = Watch::with(target.pid(), &options);
            assert!(kind == "exec" || watch.is_ok(), "{means}, {kind}: {watch:?}");
            if let Ok(mut watch) = watch {
                watched += 1;
                let until = Instant::now() + Duration::from_micros(u64::from(round * 37 % 2000));
                while Instant::now() < until {
                    if let Some(event) = watch.next_ready() {
                        assert_ne!(event.ok(), Some(rendezvous::Event::Exit), "{means}, {kind}");
                    }
                }
            }
            assert_eq!(target.end(), None, "{means}, {kind}");
        }
        assert!(watched > 0, "{means}, {kind}: never watched");
        until("the end of the tracing", || tracer(&target) == 0);
    }
}

#[test]
fn a_target_whose_other_threads_run_other_programs_outlives_any_number_of_watches() {
    a_restless_target_lives("exec", 150);
}

#[test]
fn a_child_that_is_forked_while_a_watch_ends_has_the_text_that_it_should() {
    a_restless_target_lives("fork", 300);
}

#[test]
fn a_target_that_starts_threads_all_the_time_can_be_attached_to() {
    a_restless_target_lives("threads", 150);
}

#[test]
fn a_watcher_that_is_stopped_holds_the_target_up_once() {
    let test = "harm::a_watcher_that_is_stopped_holds_the_target_up_once";
    let (Some(program), Some(library)) = (Work::program().make(), Work::library("a").make()) else {
        return;
    };
    if alone(test).is_none() {
        return be_a_watcher();
    }
    for means in Means::ALL.into_iter().filter(|means| means.is_exact()) {
        let mut target = Target::start(&program);
        let text = function(&target);
        let mut watcher = watcher(test, means, &target, "SIGKILL");
        // SAFETY: the child has not been waited for, so that its number is its own.
        let signal = |signal| unsafe { libc::kill(watcher.id() as i32, signal) };
        signal(libc::SIGSTOP);
        // 1,600 calls, each of which would take a second, and more than a socket has room for.
        assert_eq!(target.ask(&format!("churn {}", library.display())), "churned", "{means}");
        signal(libc::SIGCONT);
        assert_eq!(target.ask(&format!("churn {}", library.display())), "churned", "{means}");
        signal(libc::SIGKILL);
        watcher.wait().unwrap();
        is_unharmed(target, &text, means);
    }
}

#[test]
fn a_process_that_somebody_traces_is_watched_by_other_means() {
    let Some(program) = Work::program().make() else { return };
    let Some(watched) = Watched::by(Means::DebugRegister, Target::start(&program)) else { return };
    let pid = watched.target.pid();
    let with = |means: &[Means]| {
        Watch::with(pid, &WatchOptions { means: means.to_vec(), ..WatchOptions::default() })
    };
    let error = with(&[Means::DebugRegister, Means::Breakpoint]).unwrap_err().to_string();
    assert!(error.contains("Operation not permitted"), "{error}");
    let second = with(&[Means::Breakpoint, Means::Polling]).unwrap();
    assert_eq!(second.means(), Means::Polling);
    assert_eq!(second.refused()[0].means, Means::Breakpoint);
    drop(second);
    watched.ends();
}

#[test]
fn a_user_watches_what_is_the_users_and_is_told_why_not_what_is_not() {
    let test = "harm::a_user_watches_what_is_the_users_and_is_told_why_not_what_is_not";
    let (Some(program), Some(library)) = (Work::program().make(), Work::library("a").make()) else {
        return;
    };
    let Some(command) = alone(test) else {
        // Here it is that user.
        let of_root = std::env::var("WATCH_PID").unwrap().parse().unwrap();
        let error = rendezvous::watch(of_root).unwrap_err().to_string();
        assert!(error.contains("belongs to user 0"), "{error}");
        let mut target = Target::start(&program);
        let watch = rendezvous::watch(target.pid()).unwrap();
        let means = watch.means();
        // The kernel does not put its own breakpoints for users.
        assert!(watch.refused().iter().all(|it| it.means != Means::DebugRegister));
        drop(watch);
        target.open(&library);
        for means in [means, Means::DebugRegister, Means::Breakpoint, Means::Polling] {
            let mut watched = Watched::by(means, Target::start(&program)).unwrap();
            watched.sees(&format!("open {}", library.display()), "handle 0", &["+liba.so"]);
            watched.ends();
        }
        println!("watched");
        return;
    };
    // SAFETY: `geteuid` takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can be somebody else");
        return;
    }
    let Some(setpriv) = tool("setpriv") else { return };
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    let is_reachable = Command::new(&setpriv.0)
        .args(nobody)
        .args(["test", "-x"])
        .arg(&program)
        .status()
        .is_ok_and(|status| status.success());
    if !is_reachable {
        println!("skipped: nobody else may enter {}", program.display());
        return;
    }
    let own = Target::start(&program);
    let output = Command::new(&setpriv.0)
        .args(nobody)
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("WATCH_PID", own.pid().to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("watched"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
