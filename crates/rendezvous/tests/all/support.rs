use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rendezvous::{Module, Process, Rendezvous, Snapshot};
use tempfile::TempDir;

/// A scratch directory with what a test compiles.
pub struct Workshop {
    directory: TempDir,
}

impl Workshop {
    pub fn new() -> Workshop {
        Workshop { directory: TempDir::with_prefix("rendezvous-").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a compiler on a source. `None`, and a line about it, if it makes nothing: a machine
    /// may lack it, or the libraries for what it is to make.
    pub fn compile(&self, name: &str, source: &str, command: &[&str]) -> Option<PathBuf> {
        let (tool, arguments) = command.split_first().unwrap();
        // That of this program's own processor, where it is not the machine's.
        let own = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let tool = if *tool == "cc" { &own } else { *tool };
        let input = self.path(&format!("{name}.c"));
        std::fs::write(&input, source).unwrap();
        let output = self.path(name);
        let result = Command::new(tool).arg("-o").arg(&output).arg(&input).args(arguments).output();
        match result {
            Ok(result) if result.status.success() => Some(output),
            Ok(result) => {
                skipped(&format!("{command:?}: {}", String::from_utf8_lossy(&result.stderr)));
                None
            }
            Err(error) => {
                skipped(&format!("{command:?}: {error}"));
                None
            }
        }
    }

    /// The program that obeys, made by the system's compiler with these flags.
    pub fn target(&self, name: &str, flags: &[&str]) -> Option<PathBuf> {
        let command: Vec<&str> =
            ["cc"].iter().chain(flags).chain(&["-ldl", "-pthread"]).copied().collect();
        self.compile(name, TARGET, &command)
    }

    /// As many libraries as there are names.
    pub fn libraries(&self, flags: &[&str], names: &[&str]) -> Option<Vec<PathBuf>> {
        let flags: Vec<&str> =
            ["cc", "-shared", "-fPIC", "-Wl,--build-id"].iter().chain(flags).copied().collect();
        let library = self.compile("library.so", LIBRARY, &flags)?;
        Some(
            names
                .iter()
                .map(|name| {
                    let copy = self.path(name);
                    std::fs::copy(&library, &copy).unwrap();
                    copy
                })
                .collect(),
        )
    }
}

/// A process that obeys: one command a line, one line in answer.
pub struct Target {
    pub child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Target {
    pub fn start(mut command: Command) -> Target {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut target = Target { child, commands, answers };
        assert_eq!(target.answer(), "ready");
        target
    }

    pub fn process(&self) -> Process {
        Process::open(self.child.id()).unwrap()
    }

    /// Gives a command, without waiting for what comes of it.
    pub fn say(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        self.commands.flush().unwrap();
    }

    pub fn tell(&mut self, command: &str) -> String {
        self.say(command);
        self.answer()
    }

    pub fn open(&mut self, path: &Path) -> String {
        self.tell(&format!("open {}", path.display()))
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process's lists, with the files and build IDs of its modules.
pub fn look(process: &Process) -> (Rendezvous, Snapshot) {
    let rendezvous = process.locate().unwrap().found().expect("it has been loaded");
    let mut snapshot = rendezvous.snapshot(process);
    assert_eq!(snapshot.problem, None);
    snapshot.resolve(process, &process.mappings().unwrap());
    (rendezvous, snapshot)
}

/// The last part of each module's path.
pub fn names(modules: impl IntoIterator<Item = impl std::borrow::Borrow<Module>>) -> Vec<String> {
    modules
        .into_iter()
        .map(|module| {
            let path = module.borrow().path_lossy().into_owned();
            path.rsplit('/').next().unwrap().to_owned()
        })
        .collect()
}

/// Whether there is such a program; a line about it if there is none.
pub fn has(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|directory| directory.join(tool).is_file());
    if !found {
        skipped(tool);
    }
    found
}

/// Says that a part of a test was left out, or fails where `REQUIRE_TOOLS` is set.
pub fn skipped(what: &str) {
    assert!(
        std::env::var_os("REQUIRE_TOOLS").is_none_or(|value| value != "1"),
        "REQUIRE_TOOLS=1 and there is no {what}"
    );
    eprintln!("skipped: there is no {what}");
}

/// Says that a part of a test was left out because of how this machine is set up, which no tool
/// mends.
pub fn left_out(why: &str) {
    eprintln!("skipped: {why}");
}

/// A library with a variable of which each thread has its own.
const LIBRARY: &str = r#"
__thread int own = 41;
__thread char big[200] = "x";
int *own_address(void) { return &own; }
int in_library(void) { return own + big[0]; }
"#;

/// A program that loads, unloads and dies when it is told.
const TARGET: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static __thread int mine = 7;
static void *handles[1024];
static int handle_count;

static void *thread_pointer(void) {
    void *pointer = 0;
#if defined(__x86_64__)
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
#elif defined(__i386__)
    __asm__("mov %%gs:0, %0" : "=r"(pointer));
#elif defined(__aarch64__)
    __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
#endif
    return pointer;
}

/* The thread's pointer, its copy of the program's variable, and of the library's if it uses it. */
static void report(int *(*library)(void)) {
    printf("%p %p %p\n", thread_pointer(), (void *)&mine, library ? (void *)library() : 0);
    fflush(stdout);
}

static int pipes[2];
static int *(*used)(void);
static void *thread(void *argument) {
    char byte;
    report((int *(*)(void))argument);
    if (read(pipes[0], &byte, 1) == 1) report(used);
    pause();
    return 0;
}

int main(int argc, char **argv) {
    static char line[8192];
    (void)argc; (void)argv;
    if (pipe(pipes)) return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char *argument = strchr(line, ' ');
        line[strcspn(line, "\n")] = 0;
        if (argument) *argument++ = 0;
        if (!strcmp(line, "open") || !strcmp(line, "mopen")) {
            void *handle;
#ifdef __GLIBC__
            if (*line == 'm') handle = dlmopen(LM_ID_NEWLM, argument, RTLD_NOW | RTLD_LOCAL); else
#endif
            handle = dlopen(argument, RTLD_NOW | RTLD_LOCAL);
            handles[handle_count++] = handle;
            puts(handle ? "ok" : dlerror());
        } else if (!strcmp(line, "close")) {
            dlclose(handles[atoi(argument)]);
            puts("ok");
        } else if (!strcmp(line, "use")) {
            used = (int *(*)(void))dlsym(handles[atoi(argument)], "own_address");
            report(used);
            continue;
        } else if (!strcmp(line, "thread")) {
            pthread_t id;
            pthread_create(&id, 0, thread, 0);
            continue;
        } else if (!strcmp(line, "go")) {
            if (write(pipes[1], "x", 1) != 1) return 1;
            continue;
        } else if (!strcmp(line, "crash")) {
            abort();
        } else if (!strcmp(line, "exec")) {
            char *arguments[] = { argument, 0 };
            execv(argument, arguments);
            puts("failed");
        }
        fflush(stdout);
    }
    return 0;
}
"#;
