//! What is loaded and unloaded, told exactly, by every means that there is.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reloader_tests::{missing, tool};
use rendezvous::{Event, Means, Site, Watch, WatchOptions};

use crate::target::Target;
use crate::workshop::{M32, Work, copy_closed};

/// A target and the watch on it.
pub struct Watched {
    pub target: Target,
    pub watch: Watch,
}

impl Watched {
    /// A watch by these means alone; without the right to them the test is skipped, which is said.
    pub fn by(means: Means, target: Target) -> Option<Self> {
        Self::at(means, &Site::ALL, target)
    }

    /// The same at some of the places that a loader may have.
    pub fn at(means: Means, sites: &[Site], target: Target) -> Option<Self> {
        let interval = Duration::from_millis(5);
        let options = WatchOptions { means: vec![means], interval, sites: sites.to_vec() };
        match Watch::with(target.pid(), &options) {
            Ok(watch) => {
                assert_eq!(watch.means(), means);
                assert!(watch.site().is_none_or(|site| sites.contains(&site)));
                Some(Self { target, watch })
            }
            Err(error) => {
                // Not every machine lets every user, and not every one has the registers.
                let has_registers = cfg!(target_arch = "x86_64") && means == Means::DebugRegister;
                let is_everywhere =
                    has_registers || matches!(means, Means::Polling | Means::Breakpoint);
                assert!(!is_everywhere, "{means}: {error}");
                println!("skipped: {error}");
                None
            }
        }
    }

    /// Has the target do something, and checks what it says and what is seen of it.
    pub fn sees(&mut self, command: &str, answer: &str, expected: &[&str]) {
        let mut seen = Vec::new();
        let said = self.while_doing(command, |event| seen.push(event));
        assert!(said.starts_with(answer), "{command}: {said}");
        // Whoever does not stop the target looks when it has gone on already.
        let until = Instant::now() + Duration::from_secs(10);
        while seen.len() < expected.len() && !self.watch.means().is_exact() {
            seen.push(word(&self.watch.next().unwrap().unwrap()));
            assert!(Instant::now() < until, "{command}: only {seen:?}");
        }
        seen.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(seen, expected, "{command} by {}", self.watch.means());
    }

    /// Ends the target, of which nothing else is seen any more.
    pub fn ends(mut self) {
        assert_eq!(self.target.exit(7), 7);
        let rest: Vec<String> = self.watch.map(|event| word(&event.unwrap())).collect();
        assert_eq!(rest, ["exit"]);
    }

    /// Has the target do something, and gives what it says; `see` is told what is seen meanwhile.
    pub fn while_doing(&mut self, command: &str, mut see: impl FnMut(String)) -> String {
        self.target.tell(command);
        loop {
            let has_said = self.target.has_said(self.watch.as_fd());
            while let Some(event) = self.watch.next_ready() {
                see(word(&event.unwrap()));
            }
            if has_said {
                break;
            }
        }
        self.target.hear().unwrap_or_default()
    }
}

/// `+liba.so`, `-liba.so`, `exec`, `exit`.
fn word(event: &Event) -> String {
    let name = |path: &[u8]| {
        let path = String::from_utf8_lossy(path).into_owned();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    match event {
        Event::Added(module) => format!("+{}", name(module.path())),
        Event::Removed(module) => format!("-{}", name(module.path())),
        Event::Exec => "exec".to_owned(),
        Event::Exit => "exit".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The libraries of the scenes, in one directory.
struct Libraries {
    directory: tempfile::TempDir,
}

impl Libraries {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for name in ["a", "b", "third"] {
            Work::library(name).make_in(path)?;
        }
        let here = format!("-L{}", path.display());
        let with = |name: &str, source: &str| {
            Work::library_of(name, source).flags([&here, "-Wl,-rpath,$ORIGIN"])
        };
        // Its dependency is there, is not there, lacks what it wants.
        with("needing", "int a(int); int needing(void) { return a(1); }")
            .flag("-la")
            .make_in(path)?;
        let gone = Work::library("gone").make_in(path)?;
        with("bad", "int gone(int); int bad(void) { return gone(1); }")
            .flag("-lgone")
            .make_in(path)?;
        fs::remove_file(gone).unwrap();
        Work::library_of(
            "undefined",
            "int nowhere(void); int undefined(void) { return nowhere(); }",
        )
        .flag("-Wl,-z,now")
        .make_in(path)?;
        let nest = format!(
            "#include <dlfcn.h>\nstatic void *handle;\n\
             __attribute__((constructor)) static void begin(void) {{ handle = dlopen(\"{}/libb.so\", RTLD_NOW); }}\n\
             __attribute__((destructor)) static void end(void) {{ dlclose(handle); }}\n",
            path.display()
        );
        Work::library_of("nest", &nest).make_in(path)?;
        Work::library_of("stays", "int stays;").flag("-Wl,-z,nodelete").make_in(path)?;
        Some(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("lib{name}.so"))
    }
}

fn everything(means: Means) {
    let Some(program) = Work::program().make() else { return };
    let Some(watched) = Watched::by(means, Target::start(&program)) else { return };
    sees_everything(watched);
}

/// Everything that a loader does, one after the other.
pub fn sees_everything(mut watched: Watched) {
    let Some(libraries) = Libraries::new() else { return };
    let means = watched.watch.means();
    let open = |name| format!("open {}", libraries.path(name).display());
    let mut handles = 0..;
    let mut sees = |command: &str, expected: &[&str]| {
        let answer = match command.split(' ').next() {
            Some("close") => "closed 0".to_owned(),
            _ => format!("handle {}", handles.next().unwrap()),
        };
        watched.sees(command, &answer, expected);
    };
    sees(&open("a"), &["+liba.so"]);
    // Again: it is only counted.
    sees(&open("a"), &[]);
    sees("close 0", &[]);
    sees("close 1", &["-liba.so"]);
    sees(&open("needing"), &["+libneeding.so", "+liba.so"]);
    sees(&open("b"), &["+libb.so"]);
    // What goes is in the middle of the list.
    sees("close 2", &["-libneeding.so", "-liba.so"]);
    sees("close 3", &["-libb.so"]);
    sees(&open("nest"), &["+libnest.so", "+libb.so"]);
    sees("close 4", &["-libnest.so", "-libb.so"]);
    sees(&open("stays"), &["+libstays.so"]);
    sees("close 5", &[]);
    sees(&format!("thread {}", libraries.path("third").display()), &["+libthird.so"]);
    let missing = format!("open {}", libraries.path("missing").display());
    watched.sees(&missing, "failed", &[]);
    watched.sees(&open("bad"), "failed", &[]);
    // For the loader that is one whole load and one whole unload.
    if means.is_exact() {
        let seen = ["+libundefined.so", "-libundefined.so"];
        watched.sees(&open("undefined"), "failed", &seen);
    }
    watched.ends();
}

#[test]
fn a_perf_breakpoint_shows_every_load_and_unload() {
    everything(Means::PerfBreakpoint);
}

#[test]
fn a_uprobe_shows_every_load_and_unload() {
    everything(Means::Uprobe);
}

#[test]
fn a_debug_register_shows_every_load_and_unload() {
    everything(Means::DebugRegister);
}

#[test]
fn a_breakpoint_shows_every_load_and_unload() {
    everything(Means::Breakpoint);
}

#[test]
fn polling_shows_every_load_and_unload() {
    everything(Means::Polling);
}

#[test]
fn namespaces_are_watched_too() {
    let (Some(libraries), Some(program)) = (Libraries::new(), Work::program().make()) else {
        return;
    };
    let (a, b) = (libraries.path("a"), libraries.path("b"));
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        watched.sees(&format!("space {}", a.display()), "handle 0", &["+liba.so"]);
        watched.sees(&format!("beside 0 {}", b.display()), "handle 1", &["+libb.so"]);
        watched.sees("close 1", "closed 0", &["-libb.so"]);
        watched.ends();
    }
}

#[test]
fn the_same_path_with_another_file_is_another_module() {
    let Some(program) = Work::program().make() else { return };
    for means in Means::ALL {
        let directory = tempfile::tempdir().unwrap();
        let (Some(first), Some(second)) = (
            Work::library("a").make_in(directory.path()),
            Work::library("a").flag("-DANOTHER").make(),
        ) else {
            return;
        };
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        let open = format!("open {}", first.display());
        watched.sees(&open, "handle 0", &["+liba.so"]);
        let unfinished = directory.path().join("unfinished");
        copy_closed(&second, &unfinished);
        fs::rename(&unfinished, &first).unwrap();
        // By another name: the loader knows the first already.
        let again = format!("open {}/./liba.so", directory.path().display());
        watched.sees(&again, "handle 1", &["+liba.so"]);
        let identities: Vec<_> = watched
            .watch
            .modules()
            .filter(|module| module.path() == first.as_os_str().as_encoded_bytes())
            .map(rendezvous::Module::identity)
            .collect();
        assert_eq!(identities.len(), 2);
        assert_ne!(identities[0], identities[1]);
        watched.sees("close 0", "closed 0", &["-liba.so"]);
        let left = watched.watch.modules().filter(|it| it.path().ends_with(b"/liba.so"));
        assert_eq!(left.map(rendezvous::Module::identity).collect::<Vec<_>>(), identities[1..]);
        watched.ends();
    }
}

#[test]
fn a_32_bit_target_is_watched_by_every_means() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: no 32-bit programs here");
        return;
    }
    let library = Work::library("a").flag("-m32").make();
    let (Some(program), Some(library)) = (Work::program().flags(M32).make(), library) else {
        return;
    };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        watched.sees(&format!("open {}", library.display()), "handle 0", &["+liba.so"]);
        watched.sees("close 0", "closed 0", &["-liba.so"]);
        watched.ends();
    }
}

#[test]
fn a_target_of_musl_is_watched_by_every_means() {
    let Some(program) = Work::program().compiler("musl-gcc").make() else { return };
    let Some(library) = Work::library("a").make() else { return };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        let open = format!("open {}", library.display());
        watched.sees(&open, "handle 0", &["+liba.so"]);
        watched.sees(&open, "handle 1", &[]);
        watched.sees("open /nowhere.so", "failed", &[]);
        // It keeps what is closed.
        watched.sees("close 0", "closed 0", &[]);
        watched.ends();
    }
}

#[test]
fn a_static_target_is_watched_from_before_its_loader_begins() {
    let flags = ["-static", "-no-pie"];
    let (Some(program), Some(library)) =
        (Work::program().flags(flags).make(), Work::library("a").make())
    else {
        return;
    };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        let mut seen = Vec::new();
        let said = watched.while_doing(&format!("open {}", library.display()), |it| seen.push(it));
        assert_eq!(said, "handle 0", "{means}");
        let until = Instant::now() + Duration::from_secs(10);
        while !means.is_exact() && !seen.contains(&"+liba.so".to_owned()) {
            seen.push(word(&watched.watch.next().unwrap().unwrap()));
            assert!(Instant::now() < until, "only {seen:?}");
        }
        assert!(seen.contains(&"+liba.so".to_owned()), "{means}: {seen:?}");
        watched.sees("close 0", "closed 0", &["-liba.so"]);
        watched.ends();
    }
}

#[test]
fn a_static_target_without_a_loader_is_watched_until_its_end() {
    let flags = ["-static", "-no-pie", "-DNO_DLOPEN"];
    let Some(program) = Work::program().flags(flags).make() else { return };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        assert_eq!(
            watched.watch.modules().filter(|it| it.role == rendezvous::Role::Library).count(),
            0
        );
        watched.sees("alive", "alive", &[]);
        watched.ends();
    }
}

#[test]
fn exec_is_followed_by_the_modules_of_the_new_program() {
    let (Some(program), Some(library)) = (Work::program().make(), Work::library("a").make()) else {
        return;
    };
    let Some(other) = Work::program().flag("-no-pie").flag("-DOTHER").make() else { return };
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        watched.sees(&format!("open {}", library.display()), "handle 0", &["+liba.so"]);
        for next in [&other, &program] {
            becomes(&mut watched, &format!("exec {}", next.display()), next);
        }
        watched.sees(&format!("open {}", library.display()), "handle 0", &["+liba.so"]);
        watched.ends();
    }
}

#[test]
fn a_thread_is_not_watched_and_its_process_is_named() {
    let own = std::process::id();
    let watched = std::thread::spawn(|| {
        let link = fs::read_link("/proc/thread-self").unwrap();
        let thread: u32 = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
        (thread, rendezvous::watch(thread).unwrap_err().to_string())
    });
    let (thread, error) = watched.join().unwrap();
    assert!(error.contains(&format!("{thread} is a thread of process {own}")), "{error}");
}

#[test]
fn a_target_with_a_root_of_its_own_is_watched_by_every_means() {
    let (Some(chroot), Some(program), Some(library)) =
        (tool("chroot"), Work::program().make(), Work::library("a").make())
    else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let inside = |path: &Path| root.path().join(path.strip_prefix("/").unwrap_or(path));
    let needed = {
        let target = Target::start(&program);
        let files = target.mapped().into_iter().map(|(_, path)| path);
        let libraries: Vec<_> =
            files.filter(|path| path.is_absolute() && *path != program).collect();
        // Where the program looks for its loader, and where the loader looks.
        libraries.into_iter().chain([crate::kinds::loader(&program)]).collect::<Vec<_>>()
    };
    for file in needed {
        fs::create_dir_all(inside(&file).parent().unwrap()).unwrap();
        copy_closed(&fs::canonicalize(&file).unwrap(), &inside(&file));
    }
    copy_closed(&program, &root.path().join("target"));
    copy_closed(&library, &root.path().join("liba.so"));
    let command = || {
        let mut command = Command::new(&chroot.0);
        command.arg(root.path()).arg("/target");
        command
    };
    if !command().stdin(std::process::Stdio::null()).status().unwrap().success() {
        return missing("the right to give a process another root");
    }
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::of(&mut command())) else { continue };
        watched.sees("open /liba.so", "handle 0", &["+liba.so"]);
        watched.sees("close 0", "closed 0", &["-liba.so"]);
        watched.ends();
    }
}

#[test]
fn the_same_program_run_anew_at_the_same_addresses_is_noticed_by_looking_alone() {
    let (Some(setarch), Some(program)) = (tool("setarch"), Work::program().make()) else { return };
    let probe = Command::new(&setarch.0).args(["-R", "true"]).output().unwrap();
    if !probe.status.success() {
        return missing("the right to switch address randomisation off");
    }
    let mut fixed = Command::new(&setarch.0);
    let Some(mut watched) = Watched::by(Means::Polling, Target::of(fixed.arg("-R").arg(&program)))
    else {
        return;
    };
    let started =
        |target: &Target| rendezvous::Process::open(target.pid()).unwrap().startup().clone();
    let before = started(&watched.target);
    for _ in 0..3 {
        becomes(&mut watched, &format!("exec {}", program.display()), &program);
        assert_eq!(started(&watched.target), before, "the addresses are others");
    }
    watched.ends();
}

#[test]
fn another_program_and_its_threads_are_noticed_after_a_flood_of_loads() {
    let (Some(program), Some(library)) = (Work::program().make(), Work::library("a").make()) else {
        return;
    };
    let library = library.display();
    for means in Means::ALL {
        let Some(mut watched) = Watched::by(means, Target::start(&program)) else { continue };
        for _ in 0..3 {
            let said = watched.while_doing(&format!("churn {library}"), drop);
            assert_eq!(said, "churned");
            watched.target.tell(&format!("exec {}", program.display()));
            let until = Instant::now() + Duration::from_secs(20);
            while !matches!(watched.watch.next_ready(), Some(Ok(Event::Exec))) {
                assert!(Instant::now() < until, "{means}: the other program is not noticed");
                std::thread::yield_now();
            }
            let said = watched.while_doing("alive", drop);
            assert_eq!(said, "ready");
            watched.target.expect("alive 0");
            let said = watched.while_doing(&format!("churn {library}"), drop);
            assert_eq!(said, "churned");
            let said = watched.while_doing(&format!("thread {library}"), drop);
            assert_eq!(said, "handle 0");
            let until = Instant::now() + Duration::from_secs(20);
            while !watched.watch.modules().any(|it| it.path().ends_with(b"/liba.so")) {
                watched.watch.next_ready();
                assert!(Instant::now() < until, "{means}: the module is not noticed");
                std::thread::yield_now();
            }
        }
        drop(watched.watch);
        assert_eq!(watched.target.exit(7), 7);
    }
}

/// Has the target become a program, all of whose modules are then told of.
pub fn becomes(watched: &mut Watched, command: &str, program: &Path) {
    let mut seen = Vec::new();
    let said = watched.while_doing(command, |event| seen.push(event));
    assert_eq!(said, "ready");
    all_of_the_new_program(watched, seen, program);
}

fn all_of_the_new_program(watched: &mut Watched, mut seen: Vec<String>, program: &Path) {
    let expected = {
        let (snapshot, _) = crate::kinds::read(&watched.target);
        assert_eq!(
            snapshot.namespaces[0].modules[0].path(),
            program.as_os_str().as_encoded_bytes()
        );
        let all = snapshot.modules().map(|module| word(&Event::Added(module.clone())));
        ["exec".to_owned()].into_iter().chain(all).collect::<Vec<_>>()
    };
    // What is not stopped is looked at when it has come far enough.
    while seen.len() < expected.len() && !watched.watch.means().is_exact() {
        seen.push(word(&watched.watch.next().unwrap().unwrap()));
    }
    assert_eq!(seen, expected, "{}", watched.watch.means());
}

/// A target that was stopped before it becomes a program.
pub fn becomes_the_program(target: Target, program: &Path) {
    let Some(mut watched) = Watched::by(Means::DebugRegister, target) else { return };
    watched.target.signal(libc::SIGCONT);
    let mut seen = Vec::new();
    loop {
        let has_said = watched.target.has_said(watched.watch.as_fd());
        while let Some(event) = watched.watch.next_ready() {
            seen.push(word(&event.unwrap()));
        }
        if has_said {
            break;
        }
    }
    watched.target.expect("ready");
    all_of_the_new_program(&mut watched, seen, program);
    watched.ends();
}
