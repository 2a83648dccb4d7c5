//! A host that does what its arguments say, over `cr.h`, and a bench for its guest.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reloader_tests::{Build, header_directory, write};

use crate::workshop::{Program, good, prefix};

/// The host, in C++ with a mode of `cr.h`, or none.
pub fn host(mode: &str) -> Program {
    Program::cxx(HOST).flag(&format!("-DMODE={mode}"))
}

/// The same without a mode, that breaks off calls into the guest after 50 milliseconds.
pub fn impatient_host() -> Program {
    host("").flag("-DCR_DEADLINE=50000000")
}

/// A directory with builds of a guest, and the commands that a host is given one after the other.
pub struct Script {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Script {
    /// Begins with the opening of this build.
    pub fn new(first: &Build) -> Self {
        let script = Self::empty();
        write(&script.library(), &first.bytes());
        script.and("open")
    }

    pub fn empty() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), arguments: Vec::new() }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn library(&self) -> PathBuf {
        self.directory.path().join("libguest.so")
    }

    /// One more command.
    #[must_use]
    pub fn and(mut self, command: &str) -> Self {
        self.arguments.push(command.to_owned());
        self
    }

    /// `times` updates.
    #[must_use]
    pub fn update(self, times: usize) -> Self {
        (0..times).fold(self, |script, _| script.and("update"))
    }

    /// Another build takes the guest's place.
    #[must_use]
    pub fn put(self, build: &Build) -> Self {
        self.put_bytes(&build.bytes())
    }

    /// Anything does.
    #[must_use]
    pub fn put_bytes(self, bytes: &[u8]) -> Self {
        let name = format!("build{}", self.arguments.len());
        write(&self.directory.path().join(&name), bytes);
        self.and(&format!("put:{name}"))
    }

    /// The host's words, line by line: `update VALUE VERSION FAILURE`, `open 1`.
    pub fn run(&self, host: &Program) -> Vec<String> {
        let output = self.output(host);
        good(&output, &format!("{:?}", self.arguments));
        let words = String::from_utf8(output.stdout).unwrap();
        words.lines().map(str::to_owned).collect()
    }

    /// The same with the updates' words only, without `update`.
    pub fn updates(&self, host: &Program) -> Vec<String> {
        let lines = self.run(host).into_iter();
        lines.filter_map(|line| Some(line.strip_prefix("update ")?.to_owned())).collect()
    }

    pub fn output(&self, host: &Program) -> Output {
        self.command(&host.path()).output().unwrap()
    }

    pub fn command(&self, host: &Path) -> Command {
        let mut command = Command::new(host);
        command.current_dir(self.directory.path()).args(&self.arguments);
        command.env("TMPDIR", self.temporary());
        command
    }

    /// Where the copies go.
    pub fn temporary(&self) -> PathBuf {
        let temporary = self.directory.path().join("temporary");
        std::fs::create_dir_all(&temporary).unwrap();
        temporary
    }
}

/// A guest in C that includes `cr.h` and runs this for each call, with `ctx`, `operation` and `mode`,
/// the host's number.
pub fn guest(declarations: &str, body: &str) -> Build {
    cr(Build::c(source(declarations, body)))
}

/// The same in C++.
pub fn guest_cxx(declarations: &str, body: &str) -> Build {
    cr(Build::cxx(source(declarations, body)))
}

/// With the installed `cr.h`.
pub fn cr(build: Build) -> Build {
    let header = prefix().join("include/cr.h");
    build.header("cr.h", std::fs::read_to_string(header).unwrap())
}

fn source(declarations: &str, body: &str) -> String {
    format!(
        "#include \"cr.h\"\n#include <stdlib.h>\n{declarations}\n\
         CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{\n\
         int mode = *(int *)ctx->userdata; (void)mode; (void)operation;\n{body}\n}}\n"
    )
}

/// A guest that returns `base` and the steps that all versions made.
pub fn counter(base: i32) -> Build {
    guest(
        "static int CR_STATE count = 0;",
        &format!("if (operation == CR_STEP) count++; return {base} + count;"),
    )
}

/// The header for guests that does not come with the library.
pub fn other_header() -> String {
    std::fs::read_to_string(header_directory().join("reloader_guest.h")).unwrap()
}

const HOST: &str = r#"
#define CR_HOST MODE
#include "cr.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <chrono>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

static cr_plugin places[2], *place = places;
#define ctx (*place)
static struct { int mode; unsigned char *heap; } shared;
static const char *path = "./libguest.so";

static int update(bool check = true) {
    int value = cr_plugin_update(ctx, check);
    std::printf("update %d %u %d\n", value, ctx.version, (int)ctx.failure);
    return value;
}
static void bug() { *(volatile int *)8 = 1; }
static std::string content(const std::string &name) {
    std::ifstream file(name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
// Writes the build into the guest's file, a part at a time, with updates in between; `closing`: the
// file is closed after each part.
static void write_slowly(const std::string &build, bool closing) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    for (std::string::size_type at = 0, part = build.size() / 40 + 1; at < build.size(); at += part) {
        if (closing) { file.close(); file.open(path, std::ios::binary | std::ios::app); }
        file << build.substr(at, part) << std::flush;
        cr_plugin_update(ctx);
        update();
    }
}
// How many copies of guests are mapped.
static std::size_t mapped() {
    std::ifstream maps("/proc/self/maps");
    std::set<std::string> copies;
    for (std::string line; std::getline(maps, line);)
        if (line.find("libguest") != std::string::npos) copies.insert(line.substr(line.find('/')));
    return copies.size();
}
static void own_handler(int) { write(1, "own handler\n", 12); _exit(7); }

int main(int count, char **arguments) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    ctx.userdata = &shared;
    for (int i = 1; i < count; i++) {
        std::string word = arguments[i], argument;
        std::string::size_type colon = word.find(':');
        if (colon != std::string::npos) { argument = word.substr(colon + 1); word.resize(colon); }
        if (word == "open") {
            std::printf("open %d\n", (int)cr_plugin_open(ctx, argument.empty() ? path : argument.c_str()));
        } else if (word == "update") {
            update();
        } else if (word == "quick") {
            update(false);
        } else if (word == "mode") {
            shared.mode = std::atoi(argument.c_str());
        } else if (word == "put") {
            std::rename(argument.c_str(), path);
        } else if (word == "rename") {
            std::string::size_type to = argument.find('=');
            std::rename(argument.substr(0, to).c_str(), argument.substr(to + 1).c_str());
        } else if (word == "write") {
            std::ifstream from(argument, std::ios::binary);
            std::ofstream(path, std::ios::binary) << from.rdbuf();
        } else if (word == "remove") {
            unlink(argument.empty() ? path : argument.c_str());
        } else if (word == "touch") {
            struct stat now; stat(path, &now);
            struct timespec times[2] = {now.st_atim, now.st_mtim};
            times[1].tv_sec++;
            utimensat(AT_FDCWD, path, times, 0);
        } else if (word == "temporary") {
            cr_set_temporary_path(ctx, argument);
        } else if (word == "until") {
            auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
            while (ctx.version != (unsigned)std::atoi(argument.c_str())) {
                cr_plugin_update(ctx);
                if (std::chrono::steady_clock::now() > end) { std::printf("never\n"); return 1; }
            }
            std::printf("until %u %d\n", ctx.version, (int)ctx.failure);
        } else if (word == "moved") {
            cr_plugin *old = place;
            place = old == places ? places + 1 : places;
            *place = *old;
            std::memset((void *)old, 0xee, sizeof *old);
        } else if (word == "handler") {
            signal(SIGSEGV, own_handler);
        } else if (word == "bug") {
            bug();
        } else if (word == "bug-thread") {
            std::thread(bug).join();
        } else if (word == "wait") {
            for (alarm(20);;) pause();
        } else if (word == "catching") {
            try { update(); } catch (...) { std::printf("caught\n"); }
            std::printf("uncaught %d\n", std::uncaught_exceptions());
        } else if (word == "slowly" || word == "piecemeal") {
            write_slowly(content(argument), word == "piecemeal");
        } else if (word == "mapped") {
            std::printf("mapped %zu\n", mapped());
        } else if (word == "internals") {
            auto internal = (cr_internal *)ctx.p;
            auto name = internal->fullname, temporary = internal->temppath;
            std::printf("internals %s [%s]\n", name, temporary);
            for (unsigned version = 0; version < 9; version++) cr_del(cr_version_path(name, version, temporary));
        } else if (word == "thread") {
            std::thread([] { update(); }).join();
        } else if (word == "close") {
            cr_plugin_close(ctx);
            std::printf("close %d %u\n", ctx.p == nullptr, ctx.version);
        } else {
            std::printf("what is %s?\n", word.c_str());
            return 2;
        }
    }
    return 0;
}
"#;
