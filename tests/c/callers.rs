//! Callers who do what the headers forbid or leave open, as far as it can be told from C.

use std::process::Command;

use reloader_tests::write;

use crate::program::{Script, counter};
use crate::workshop::{Program, good};

/// Runs a host with the path of a counting guest.
fn run(host: &Program) {
    let script = Script::empty();
    write(&script.library(), &counter(0).bytes());
    let mut command = Command::new(host.path());
    command.arg(script.library()).env("TMPDIR", script.temporary());
    good(&command.output().unwrap(), "the host");
    assert_eq!(std::fs::read_dir(script.temporary()).unwrap().count(), 0, "nothing is left");
}

const AFTER_THE_CLOSE: &str = r#"
#define CR_HOST
#include "cr.h"
int main(int count, char **arguments) {
    struct cr_plugin ctx = {0};
    int mode = 0;
    ctx.userdata = &mode;
    if (count < 2) return 9;
    /* Before it is opened. */
    if (cr_plugin_update(&ctx, true) != -2 || cr_set_temporary_path(&ctx, "/tmp")) return 10;
    cr_plugin_close(&ctx);
    if (cr_plugin_open(&ctx, NULL) || cr_plugin_open(&ctx, "") || cr_plugin_open(&ctx, "/tmp")) return 11;
    if (ctx.p || cr_plugin_update(&ctx, true) != -2) return 12;
    for (int round = 0; round < 3; round++) {
        if (!cr_plugin_open(&ctx, arguments[1])) return 13;
        if (cr_plugin_update(&ctx, true) != 1 || cr_plugin_update(&ctx, false) != 2) return 14;
        if (ctx.version != 1 || ctx.last_working_version != 1 || ctx.next_version != 2) return 15;
        if (cr_set_temporary_path(&ctx, NULL) || cr_set_temporary_path(&ctx, "/nowhere")) return 16;
        cr_plugin_close(&ctx);
        cr_plugin_close(&ctx);
        /* And after it is closed. */
        if (ctx.p || ctx.version || cr_plugin_update(&ctx, true) != -2) return 17;
        if (cr_plugin_update(&ctx, false) != -2 || ctx.userdata != &mode) return 18;
    }
    return 0;
}
"#;

#[test]
fn what_is_not_open_or_closed_is_nothing_to_fall_over() {
    run(&Program::c(AFTER_THE_CLOSE).flag("-DNDEBUG"));
}

const FROM_INSIDE: &str = r#"
#include "cr.h"
#include "reloader.h"
#include <stdlib.h>
#include <string.h>
static reloader *own;
static int asked, wrong;
static void hook(void *data, const reloader_event *event)
{
    reloader_report report = RELOADER_REPORT_INIT;
    reloader_fault fault = RELOADER_FAULT_INIT;
    reloader_snapshot *snapshot = NULL;
    void *address = &address;
    if (!own)
        return;
    asked++;
    wrong += reloader_close(own) != RELOADER_BUSY;
    wrong += reloader_step(own, NULL) != RELOADER_BUSY;
    wrong += reloader_update(own, NULL, 1) != -2;
    wrong += reloader_check(own) != RELOADER_BUSY;
    wrong += reloader_context(own, NULL) != NULL;
    wrong += reloader_roll_back(own, 0) != RELOADER_BUSY;
    wrong += reloader_set_temp_dir(own, "/tmp") != RELOADER_BUSY;
    wrong += reloader_symbol(own, "cr_main", &address) != RELOADER_BUSY || address;
    wrong += reloader_state(own, &report) != RELOADER_BUSY;
    wrong += reloader_last_fault(own, &fault) != RELOADER_BUSY;
    wrong += reloader_take_snapshot(own, &snapshot) != RELOADER_BUSY || snapshot;
    wrong += data != &wrong || !event->text || !strstr(reloader_message(), "under way");
}
int main(int count, char **arguments)
{
    reloader_options options = RELOADER_OPTIONS_INIT;
    reloader_report report = RELOADER_REPORT_INIT;
    reloader_snapshot *snapshot = NULL;
    int mode = 0, value = 0;
    if (count < 2)
        return 9;
    options.hook = hook;
    options.hook_data = &wrong;
    if (reloader_open(arguments[1], &options, &own) != RELOADER_OK)
        return 10;
    reloader_context(own, NULL)->userdata = &mode;
    for (int i = 0; i < 3; i++)
        if (reloader_step(own, &value) != RELOADER_OK)
            return 11;
    if (value != 3 || asked == 0 || wrong != 0)
        return 12;
    if (reloader_take_snapshot(own, &snapshot) != RELOADER_OK || reloader_close(own) != RELOADER_OK || wrong != 0)
        return 13;
    /* A snapshot outlives its plugin, and fits into another. */
    own = NULL;
    options.entry = "cr_\xff";
    if (reloader_open(arguments[1], &options, &own) != RELOADER_BAD_ARGUMENT || own)
        return 14;
    options.entry = "";
    if (reloader_open(arguments[1], &options, &own) != RELOADER_OK || reloader_step(own, &value) != RELOADER_IDLE)
        return 15;
    if (reloader_restore(own, snapshot) != RELOADER_NOT_FOUND || reloader_close(own) != RELOADER_OK)
        return 16;
    options.entry = NULL;
    options.hook = NULL;
    if (reloader_open(arguments[1], &options, &own) != RELOADER_OK)
        return 17;
    reloader_context(own, NULL)->userdata = &mode;
    if (reloader_step(own, &value) != RELOADER_OK || value != 1)
        return 18;
    if (reloader_restore(own, snapshot) != RELOADER_OK || reloader_step(own, &value) != RELOADER_OK || value != 4)
        return 19;
    reloader_free_snapshot(snapshot);
    report.size = SIZE_MAX;
    if (reloader_state(own, &report) != RELOADER_BAD_ARGUMENT)
        return 20;
    report.size = sizeof report.size;
    report.version = 77;
    if (reloader_state(own, &report) != RELOADER_OK || report.version != 77)
        return 21;
    return reloader_close(own) == RELOADER_OK ? 0 : 22;
}
"#;

#[test]
fn a_call_from_inside_a_call_is_told_so_by_every_function() {
    run(&Program::c(FROM_INSIDE));
}

const JOBS_ON_THREADS: &str = r#"
#include "reloader.h"
#include <cstring>
#include <thread>
#include <vector>
static void thrown(void *) { throw 5; }
static void fault(void *where) { *(volatile char *)where = 1; }
static void nothing(void *count) { ++*(int *)count; }
static int one(void *data, const reloader_module *) { ++*(int *)data; return 0; }
// Single jobs, by many threads at once, with a fault in every second one.
int main() {
    std::vector<std::thread> threads;
    std::vector<int> wrong(8);
    for (std::size_t id = 0; id < wrong.size(); id++)
        threads.emplace_back([&wrong, id] {
            for (int round = 0; round < 200; round++) {
                reloader_fault caught = RELOADER_FAULT_INIT;
                int count = 0, modules = 0;
                void *where = (void *)(id + 1);
                wrong[id] += reloader_guarded_call(fault, where, 0, &caught) != RELOADER_FAILED;
                wrong[id] += caught.kind != RELOADER_FAULT_ACCESS || caught.address != id + 1;
                wrong[id] += !std::strstr(reloader_message(), caught.text);
                wrong[id] += reloader_guarded_call(nothing, &count, 0, nullptr) != RELOADER_OK || count != 1;
                if (round % 50 == 0) {
                    wrong[id] += reloader_guarded_call(thrown, nullptr, 0, &caught) != RELOADER_FAILED;
                    wrong[id] += caught.kind != RELOADER_FAULT_EXCEPTION;
                    wrong[id] += reloader_modules(one, &modules) != RELOADER_OK || modules < 3;
                }
            }
        });
    for (auto &thread : threads) thread.join();
    for (int count : wrong) if (count) return 10;
    return 0;
}
"#;

#[test]
fn single_jobs_are_done_by_many_threads_at_once() {
    let program = Program::cxx(JOBS_ON_THREADS);
    good(&Command::new(program.path()).output().unwrap(), "single jobs");
}

const WITHOUT_A_DESCRIPTOR: &str = r#"
#define _XOPEN_SOURCE 700
#define CR_HOST
#include "cr.h"
#include <string.h>
#include <unistd.h>
/* What wakes the thread that watches, and nothing else; a daemon that starts closes all it finds. */
static int close_some(void) {
    int closed = 0;
    for (int descriptor = 3; descriptor < 64; descriptor++) {
        char link[64], to[64] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        if (readlink(link, to, sizeof to - 1) > 0 && strstr(to, "[eventfd]")) closed += close(descriptor) == 0;
    }
    return closed;
}
int main(int count, char **arguments) {
    struct cr_plugin ctx = {0};
    int mode = 0, value = 0;
    ctx.userdata = &mode;
    if (count < 2) return 9;
#ifdef PLAIN
    reloader *plugin = NULL;
    reloader_options options = RELOADER_OPTIONS_INIT;
    options.context = &ctx;
    if (reloader_open(arguments[1], &options, &plugin) || reloader_step(plugin, &value) || value != 1) return 10;
    if (close_some() != 1) return 11;
    if (reloader_check(plugin) || reloader_step(plugin, &value) || value != 2) return 12;
    if (reloader_close(plugin) != RELOADER_OK) return 13;
#else
    if (!cr_plugin_open(&ctx, arguments[1]) || (value = cr_plugin_update(&ctx, true)) != 1) return 10;
    if (close_some() != 1) return 11;
    cr_plugin_close(&ctx);
    if (ctx.p || ctx.version) return 12;
    cr_plugin_close(&ctx);
    if (cr_plugin_update(&ctx, true) != -2) return 13;
#endif
    return 0;
}
"#;

#[test]
fn a_plugin_with_a_descriptor_that_somebody_closed_is_closed_once() {
    run(&Program::c(WITHOUT_A_DESCRIPTOR));
    run(&Program::c(WITHOUT_A_DESCRIPTOR).flag("-DPLAIN"));
}

const A_DAEMON: &str = r#"
#define _GNU_SOURCE
#define CR_HOST
#include "cr.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>
/* Closes all that it finds, before the first update or after it, and has files of its own in their place. */
enum { OWN = 60 };
/* Until the thread that watches waits for the kernel: what it does with descriptors that are closed meanwhile is up to
 * chance. */
static void wait_for_rest(void) {
    for (int waiting = 0; !waiting;) {
        DIR *tasks = opendir("/proc/self/task");
        waiting = 1;
        for (struct dirent *task; tasks && (task = readdir(tasks));) {
            char path[300], call[16] = "";
            snprintf(path, sizeof path, "/proc/self/task/%s/syscall", task->d_name);
            FILE *file = atoi(task->d_name) && atoi(task->d_name) != getpid() ? fopen(path, "r") : NULL;
            if (!file) continue;
            if (!fgets(call, sizeof call, file) || !strncmp(call, "running", 7)) waiting = 0;
            fclose(file);
        }
        closedir(tasks);
    }
}
int main(int count, char **arguments) {
    struct cr_plugin ctx = {0};
    int mode = 0, own[OWN];
    ctx.userdata = &mode;
    if (count < 4 || chdir(arguments[3]) || !cr_plugin_open(&ctx, arguments[1])) return 9;
    if (LATE && cr_plugin_update(&ctx, true) != 1) return 10;
    if (LATE) wait_for_rest();
    for (int descriptor = 3; descriptor < 1024; descriptor++) close(descriptor);
    for (int i = 0; i < OWN && REUSED; i++) {
        char name[32];
        snprintf(name, sizeof name, "own%d", i);
        if (i % 3 == 0) own[i] = eventfd(0, EFD_NONBLOCK);
        if (i % 3 == 1) own[i] = inotify_init1(IN_NONBLOCK);
        if (i % 3 == 2) own[i] = open(name, O_RDWR | O_CREAT, 0600);
        if (own[i] < 0 || (i % 3 == 2 && write(own[i], "mine", 4) != 4)) return 11;
    }
    if (!LATE && cr_plugin_update(&ctx, true) != 1) return 12;
    if (rename(arguments[2], arguments[1])) return 13;
    if (cr_plugin_update(&ctx, true) != 102 || ctx.version != 2 || ctx.failure != CR_NONE) return 14;
    cr_plugin_close(&ctx);
    for (int i = 0; i < OWN && REUSED; i++) {
        char content[16];
        uint64_t counted;
        if (fcntl(own[i], F_GETFD) < 0) return 15;
        if (i % 3 == 0 && read(own[i], &counted, sizeof counted) >= 0) return 16;
        if (i % 3 == 1 && (inotify_add_watch(own[i], ".", IN_CREATE) != 1 || read(own[i], content, 16) >= 0)) return 17;
        if (i % 3 == 2 && (lseek(own[i], 0, SEEK_CUR) != 4 || pread(own[i], content, 16, 0) != 4)) return 18;
        if (i % 3 == 2 && memcmp(content, "mine", 4)) return 19;
    }
    return 0;
}
"#;

#[test]
fn a_host_that_closes_every_descriptor_is_served_and_its_own_files_are_left_alone() {
    for (late, reused) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let script = Script::empty();
        let next = script.directory().join("next");
        let own = script.directory().join("own");
        write(&script.library(), &counter(0).bytes());
        write(&next, &counter(100).bytes());
        std::fs::create_dir(&own).unwrap();
        let daemon = Program::c(A_DAEMON).flag(&format!("-DLATE={late}"));
        let mut command = Command::new(daemon.flag(&format!("-DREUSED={reused}")).path());
        command.arg(script.library()).args([next, own]).env("TMPDIR", script.temporary());
        let output = command.output().unwrap();
        good(&output, &format!("late {late}, reused {reused}"));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_dir(script.temporary()).unwrap().count(), 0, "nothing is left");
    }
}

const NO_IMAGES: &str = r#"
#define _XOPEN_SOURCE 700
#include "reloader.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
/* What is waited for, or read for ever, ends the program or does not fit into its memory. */
int main(int count, char **arguments) {
    const struct rlimit memory = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    reloader_section section = RELOADER_SECTION_INIT;
    if (count < 3 || mkfifo("pipe", 0600) || setrlimit(RLIMIT_AS, &memory)) return 9;
    const char *const odd[] = {"pipe", "/dev/zero", "."};
    alarm(20);
    for (int i = 0; i < 3; i++) {
        if (reloader_find_section(odd[i], ".text", &section) != RELOADER_BAD_IMAGE) return 10 + i;
        if (!strstr(reloader_message(), "regular")) return 13;
        if (reloader_set_pdb_path(odd[i], "new", "x.pdb") != RELOADER_BAD_IMAGE) return 20 + i;
    }
    /* A long file is read where something is. */
    if (truncate(arguments[2], (off_t)1 << 36)) return 30;
    if (reloader_find_section(arguments[2], ".text", &section) != RELOADER_OK) return 31;
    return section.file_size == 0 || section.loaded_at != 0;
}
"#;

#[test]
fn what_is_no_regular_file_is_neither_waited_for_nor_read_and_a_long_one_only_in_part() {
    let script = Script::empty();
    write(&script.library(), &counter(0).bytes());
    let long = script.directory().join("long");
    write(&long, &counter(0).bytes());
    let mut command = Command::new(Program::c(NO_IMAGES).path());
    command.current_dir(script.directory()).arg(script.library()).arg(long);
    good(&command.output().unwrap(), "no images");
}

const LOCKED: &str = r#"
#include "reloader.h"
#include <stdio.h>
#include <stdlib.h>
static void locked(void *text) { printf("%s %d", (const char *)text, 1); }
static void plain(void *argument) { *(volatile int *)argument = 1; }
int main(void) {
    reloader_fault caught = RELOADER_FAULT_INIT;
    if (reloader_guarded_call(plain, (void *)8, 0, &caught) != RELOADER_FAILED || caught.tainted != 0) return 10;
    if (reloader_guarded_call(locked, (void *)8, 0, &caught) != RELOADER_FAILED || caught.tainted != 1) return 11;
    _Exit(0); /* standard output stays locked */
}
"#;

#[test]
fn a_fault_says_whether_it_left_a_lock_of_the_c_library_behind() {
    let program = Program::c(LOCKED);
    good(&Command::new(program.path()).output().unwrap(), "a lock");
}

const OWN_FAILURE: &str = r#"
#define CR_HOST
#include "cr.h"
int main(int count, char **arguments) {
    struct cr_plugin ctx = {0};
    int mode = 0;
    ctx.userdata = &mode;
    if (count < 2 || !cr_plugin_open(&ctx, arguments[1]) || cr_plugin_update(&ctx, true) != 1) return 10;
    ctx.failure = CR_USER;
    if (cr_plugin_update(&ctx, true) != 2 || ctx.failure != CR_NONE || ctx.version != 1) return 11;
    cr_plugin_close(&ctx);
    return 0;
}
"#;

#[test]
fn a_failure_that_the_host_writes_down_itself_is_forgotten() {
    run(&Program::c(OWN_FAILURE));
}
