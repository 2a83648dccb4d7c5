//! The options of `reloader_open`, each of which makes a difference.

use std::process::Command;

use reloader_tests::{Build, write};

use crate::program::{Script, counter, guest};
use crate::workshop::{Program, good};

/// Does what its arguments say: `flags:4`, `open`, `step`, which prints status, value and version.
const HOST: &str = r#"
#include "cr.h"
#include "reloader.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
static const char *path = "./libguest.so";
static reloader *plugin;
static int mode;
static std::string temporary;
// How many mapped copies of the guest lie below a directory.
static int copies(const std::string &directory) {
    std::ifstream maps("/proc/self/maps");
    std::set<std::string> found;
    for (std::string line; std::getline(maps, line);)
        if (line.find(" " + directory + "/") != line.npos && line.find("libguest") != line.npos)
            found.insert(line.substr(line.find('/')));
    return (int)found.size();
}
// How many descriptors tell of changes to files.
static int watches() {
    int found = 0;
    char link[64], to[256];
    for (int descriptor = 0; descriptor < 64; descriptor++) {
        std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, to, sizeof to);
        found += length > 0 && std::string(to, (size_t)length).find("inotify") != std::string::npos;
    }
    return found;
}
static unsigned version() { return reloader_context(plugin, nullptr)->version; }
int main(int count, char **arguments) {
    reloader_options options = RELOADER_OPTIONS_INIT;
    for (int i = 1; i < count; i++) {
        std::string word = arguments[i], argument;
        std::string::size_type colon = word.find(':');
        if (colon != std::string::npos) { argument = word.substr(colon + 1); word.resize(colon); }
        int number = std::atoi(argument.c_str()), value = 0;
        if (word == "flags") options.flags = (unsigned)number;
        else if (word == "policy") options.policy = (unsigned)number;
        else if (word == "history") options.history = number;
        else if (word == "poll") options.poll = (unsigned)number;
        else if (word == "temporary") temporary = argument, options.temp_dir = temporary.c_str();
        else if (word == "search") options.search_limit = argument == "none" ? UINT64_MAX : (uint64_t)number;
        else if (word == "copies") std::printf("copies %d\n", copies(argument));
        else if (word == "watches") std::printf("watches %d\n", watches());
        else if (word == "deadline") options.deadline = (uint64_t)number;
        else if (word == "mode") mode = number;
        else if (word == "check") { if (reloader_check(plugin) != RELOADER_OK) return 3; }
        else if (word == "back") std::printf("back %d\n", (int)reloader_roll_back(plugin, (unsigned)number));
        else if (word == "open") {
            std::printf("open %d\n", (int)reloader_open(path, &options, &plugin));
            if (plugin) reloader_context(plugin, nullptr)->userdata = &mode;
        } else if (word == "step") {
            reloader_status status = reloader_step(plugin, &value);
            std::printf("step %d %d %u\n", (int)status, value, version());
        } else if (word == "until") {
            auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
            while (version() != (unsigned)number) {
                reloader_step(plugin, nullptr);
                if (std::chrono::steady_clock::now() > end) return 4;
            }
        } else if (word == "put" || word == "rename") {
            std::string::size_type to = argument.find('=');
            std::string name = to == std::string::npos ? path : argument.substr(to + 1);
            std::rename(argument.substr(0, to).c_str(), name.c_str());
        } else if (word == "touch") {
            struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000 + i, 0}};
            utimensat(AT_FDCWD, path, times, 0);
        } else return 2;
    }
    return reloader_close(plugin) == RELOADER_OK ? 0 : 5;
}
"#;

/// What the host says.
fn run(script: &Script) -> Vec<String> {
    let output = script.command(&Program::cxx(HOST).path()).output().unwrap();
    good(&output, "the host");
    let words = String::from_utf8(output.stdout).unwrap();
    words.lines().map(str::to_owned).collect()
}

fn with(first: &Build) -> Script {
    let script = Script::empty();
    write(&script.library(), &first.bytes());
    script
}

const AS_CR: &str = "flags:1";

#[test]
fn a_file_may_be_missing_if_that_is_said() {
    let script = Script::empty().and("open").and("flags:4").and("open").and("step");
    let script = script.put(&counter(0)).and("check").and("step");
    assert_eq!(run(&script), ["open -2", "open 0", "step 1 0 0", "step 0 1 1"]);
}

#[test]
fn as_many_versions_as_are_kept_can_be_gone_back_to() {
    for (history, wanted) in [("-1", "back -2"), ("0", "back 0"), ("1", "back 0")] {
        let script = with(&counter(100)).and(&format!("history:{history}")).and("open").and("step");
        let script = script.put(&counter(200)).and("check").and("step").and("back:0").and("step");
        let lines = run(&script);
        let last = if history == "-1" { "step 0 203 2" } else { "step 0 102 1" };
        assert_eq!(lines, ["open 0", "step 0 101 1", "step 0 202 2", wanted, last], "{history}");
    }
}

#[test]
fn the_policies_refuse_what_they_say() {
    let grown = counter(200).more("int CR_STATE more = 5;\n");
    // By symbol, identical, same size, fits, none; and fits with less state.
    let wanted = ["202 2", "102 1", "102 1", "202 2", "201 2"];
    for (policy, wanted) in wanted.into_iter().enumerate() {
        let script = with(&counter(100)).and(&format!("policy:{policy}")).and("open").and("step");
        let lines = run(&script.put(&grown).and("check").and("step"));
        assert_eq!(lines[2], format!("step 0 {wanted}"), "{policy}");
    }
    let script = with(&grown).and("policy:3").and("open").and("step");
    let lines = run(&script.put(&counter(100)).and("check").and("step"));
    assert_eq!(lines[2], "step 0 202 1");
}

#[test]
fn untagged_zeros_are_carried_if_that_is_said() {
    let build = |base| {
        guest(
            "static int zero;",
            &format!("if (operation == CR_STEP) zero++; return {base} + zero;"),
        )
    };
    for (flags, wanted) in [("flags:0", "201 2"), ("flags:2", "202 2"), (AS_CR, "202 2")] {
        let script = with(&build(100)).and(flags).and("open").and("step").put(&build(200));
        let lines = run(&script.and("check").and("step"));
        assert_eq!(lines[2], format!("step 0 {wanted}"), "{flags}");
    }
}

#[test]
fn a_build_that_failed_is_loaded_again_if_that_is_said() {
    let bad =
        guest("", "if (operation == CR_STEP && mode == 1) abort(); return (int)ctx->version;");
    for (flags, wanted) in
        [("flags:0", "step 0 3 1"), ("flags:8", "step 0 3 3"), (AS_CR, "step 0 3 3")]
    {
        let script = with(&counter(0)).and(flags).and("open").and("step").put(&bad);
        let script = script.and("mode:1").and("check").and("step").and("mode:0").and("step");
        let lines = run(&script.and("touch").and("check").and("step"));
        assert_eq!(lines[1..4], ["step 0 1 1", "step 2 0 1", "step 0 2 1"], "{flags}");
        // The same bytes again.
        assert_eq!(lines[4], wanted, "{flags}");
    }
}

#[test]
fn a_rebuilt_library_is_no_new_build_if_that_is_said() {
    let library = |factor| {
        Build::c(format!("int called(void) {{ return {factor}; }}"))
            .flag("-Wl,-soname,libbeside.so")
    };
    for (flags, wanted) in [("flags:32", "step 0 1 1"), ("flags:0", "step 0 2 2")] {
        let script = Script::empty();
        let beside = script.directory().join("libbeside.so");
        write(&beside, &library(1).bytes());
        write(&script.directory().join("next"), &library(2).bytes());
        let guest = guest("int called(void);", "return called();");
        let guest = guest.flag("-Wl,-rpath,$ORIGIN").library(&beside);
        write(&script.library(), &guest.bytes());
        let script = script.and(flags).and("open").and("step").and("rename:next=libbeside.so");
        let lines = run(&script.and("check").and("step"));
        assert_eq!(lines[2], wanted, "{flags}");
    }
}

#[test]
fn a_new_build_is_noticed_as_was_asked_for() {
    for how in ["poll:1", "poll:0"] {
        let script = with(&counter(100)).and(how).and("open").and("step").put(&counter(200));
        let lines = run(&script.and("until:2").and("step"));
        assert!(lines[2].ends_with(" 2"), "{how}: {lines:?}");
    }
    // Only when the host asks.
    let script = with(&counter(100)).and("flags:16").and("poll:1").and("open").and("step");
    let script = script.put(&counter(200)).and("step").and("check").and("step");
    assert_eq!(run(&script)[1..], ["step 0 101 1", "step 0 102 1", "step 0 203 2"]);
}

#[test]
fn a_call_that_takes_too_long_is_a_failure_if_that_is_said() {
    let loops = guest(
        "static volatile int zero;",
        "if (operation == CR_STEP && mode == 1) while (!zero) {} return 7;",
    );
    let script = with(&loops).and("deadline:50000000").and("open").and("step").and("mode:1");
    let lines = run(&script.and("step").and("mode:0").and("step"));
    assert_eq!(lines[1..3], ["step 0 7 1", "step 2 0 1"]);
    assert!(lines[3].starts_with("step 1 "), "nothing is left to run: {lines:?}");
}

#[test]
fn a_host_says_what_its_guests_entry_is_called_and_where_messages_go() {
    let source = r#"
#define CR_MAIN_FUNC "begin"
static int told, failed, traced;
#define CR_LOG(...) (void)(told += (int)(sizeof(printf(__VA_ARGS__)) > 0))
#define CR_ERROR(...) (void)(failed += (int)(sizeof(printf(__VA_ARGS__)) > 0))
#define CR_TRACE traced++;
#define CR_ASSERT(e) (void)(e)
#define CR_MALLOC(size) malloc(size)
#define CR_REALLOC(pointer, size) realloc(pointer, size)
#define CR_FREE(pointer) free(pointer)
#define CR_HOST
#include "cr.h"
#include <stdlib.h>
int main(int count, char **arguments)
{
    struct cr_plugin ctx = {0};
    if (count < 3 || !cr_plugin_open(&ctx, arguments[1]) || cr_plugin_update(&ctx, true) != 5) return 10;
    if (told == 0 || failed != 0 || traced == 0) return 11;
    rename(arguments[2], arguments[1]);
    if (cr_plugin_update(&ctx, true) != 5 || failed == 0 || ctx.failure != CR_BAD_IMAGE) return 12;
    cr_plugin_close(&ctx);
    return 0;
}
"#;
    let entry = "#include \"cr.h\"\nCR_EXPORT int begin(struct cr_plugin *ctx, enum cr_op operation);\n\
        int begin(struct cr_plugin *ctx, enum cr_op operation) { (void)ctx; return operation == CR_STEP ? 5 : 0; }";
    let script = with(&crate::program::cr(Build::c(entry)));
    let next = script.directory().join("next");
    write(&next, &counter(0).bytes());
    let mut command = Command::new(Program::c(source).path());
    command.arg(script.library()).arg(next).env("TMPDIR", script.temporary());
    good(&command.output().unwrap(), "the host");
}

#[test]
fn copies_lie_below_the_directory_that_is_said() {
    let script = with(&counter(0));
    let place = script.directory().join("mine");
    std::fs::create_dir(&place).unwrap();
    let (mine, other) = (place.display().to_string(), script.temporary().display().to_string());
    let asks = [format!("copies:{mine}"), format!("copies:{other}")];
    let script = script.and(&format!("temporary:{mine}")).and("open").and("step");
    let script = script.and(&asks[0]).and(&asks[1]);
    let lines = run(&script);
    assert_eq!(lines[2..], ["copies 1", "copies 0"]);
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
    let script = with(&counter(0)).and("open").and("step");
    let ask = format!("copies:{}", script.temporary().display());
    assert_eq!(run(&script.and(&ask))[2], "copies 1");
}

#[test]
fn a_file_that_is_looked_at_by_time_is_not_watched() {
    for (how, wanted) in [("poll:0", "watches 1"), ("poll:1", "watches 0")] {
        let lines = run(&with(&counter(0)).and(how).and("open").and("step").and("watches"));
        assert_eq!(lines[2], wanted, "{how}");
    }
}

#[test]
fn as_much_of_the_heap_is_searched_as_is_said() {
    // What the state leads to directly, what it leads to in the heap, and what lies far into that.
    let build = |base| {
        guest(
            "static int **CR_STATE near; static int **CR_STATE far; static int target = 1;",
            &format!(
                "if (operation != CR_STEP) return 0;\n\
                 if (!near) {{\n\
                 near = malloc(sizeof *near); *near = &target;\n\
                 far = calloc(1 << 20, sizeof *far); far[(1 << 20) - 1] = &target; }}\n\
                 return {base} + (*near == &target) + 2 * (far[(1 << 20) - 1] == &target);"
            ),
        )
    };
    for (limit, wanted) in [("search:0", 203), ("search:65536", 201), ("search:none", 200)] {
        let script = with(&build(100)).and("history:-1").and(limit).and("open").and("step");
        let lines = run(&script.put(&build(200)).and("check").and("step"));
        assert_eq!(lines[2], format!("step 0 {wanted} 2"), "{limit}");
    }
}
