//! `reloader.h` from a C program: every function, its errors, and the single-crate jobs.

use std::process::Command;

use reloader_tests::{tool, write};

use crate::program::{Script, guest};
use crate::workshop::{Program, good};

const WHOLE: &str = r#"
#define _XOPEN_SOURCE 700
#include "cr.h"
#include "reloader.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHECK(condition) \
    do { if (!(condition)) { printf("%d: %s: %s\n", __LINE__, #condition, reloader_message()); return 1; } } while (0)

static int events[9];
static reloader *own;
static reloader_status inside = RELOADER_OK;

static void hook(void *data, const reloader_event *event)
{
    if (data == events && event->size == sizeof *event && event->text[0])
        events[event->kind]++;
    if (own)
        inside = reloader_step(own, NULL);
}

static int count_module(void *data, const reloader_module *module)
{
    if (module->start < module->end && module->size == sizeof *module && module->path)
        ++*(int *)data;
    return 0;
}

static int stop(void *data, const reloader_module *module)
{
    (void)module;
    return ++*(int *)data;
}

static void fault(void *argument) { *(volatile int *)argument = 1; }
static void work(void *argument) { ++*(int *)argument; }
static void hang(void *argument) { for (;;) ++*(volatile int *)argument; }

static int jobs(const char *program)
{
    reloader_fault caught = RELOADER_FAULT_INIT;
    reloader_section section = RELOADER_SECTION_INIT;
    int number = 0;
    volatile int spin = 0;

    CHECK(reloader_guarded_call(work, &number, 0, &caught) == RELOADER_OK && number == 1);
    CHECK(reloader_guarded_call(fault, (void *)8, 0, &caught) == RELOADER_FAILED);
    CHECK(caught.kind == RELOADER_FAULT_ACCESS && caught.has_address && caught.address == 8 && caught.pc);
    CHECK(caught.function && strcmp(caught.function, "fault") == 0 && caught.line > 0);
    CHECK(strstr(caught.file, "host.c") && strstr(reloader_message(), caught.text));
    CHECK(reloader_guarded_call(fault, (void *)8, 0, NULL) == RELOADER_FAILED);
    CHECK(reloader_guarded_call(hang, (void *)&spin, 20000000, &caught) == RELOADER_FAILED);
    CHECK(caught.kind == RELOADER_FAULT_DEADLINE);
    CHECK(reloader_guarded_call(NULL, NULL, 0, NULL) == RELOADER_BAD_ARGUMENT);
    caught.size = 3;
    CHECK(reloader_guarded_call(work, &number, 0, &caught) == RELOADER_BAD_ARGUMENT && number == 1);

    number = 0;
    CHECK(reloader_modules(count_module, &number) == RELOADER_OK && number >= 3);
    number = 0;
    CHECK(reloader_modules(stop, &number) == RELOADER_OK && number == 1);
    CHECK(reloader_modules(NULL, NULL) == RELOADER_BAD_ARGUMENT);

    CHECK(reloader_find_section(program, ".text", &section) == RELOADER_OK);
    CHECK(section.file_size == section.memory_size && section.offset && section.address);
    CHECK(section.loaded_at <= (uint64_t)(uintptr_t)work);
    CHECK((uint64_t)(uintptr_t)work < section.loaded_at + section.memory_size);
    CHECK(reloader_find_section(program, ".bss", &section) == RELOADER_OK && section.file_size == 0);
    CHECK(reloader_find_section(program, ".none", &section) == RELOADER_NOT_FOUND);
    CHECK(reloader_find_section("/nowhere", ".text", &section) == RELOADER_NOT_FOUND);
    CHECK(reloader_find_section("/etc/passwd", ".text", &section) == RELOADER_BAD_IMAGE);
    section.size = 3;
    CHECK(reloader_find_section(program, ".text", &section) == RELOADER_BAD_ARGUMENT);
    section.size = 16;
    section.memory_size = 77;
    CHECK(reloader_find_section(program, ".text", &section) == RELOADER_OK && section.memory_size == 77);
    CHECK(reloader_set_pdb_path("/etc/passwd", "/nowhere/else", "x.pdb") == RELOADER_BAD_IMAGE);
    return 0;
}

int main(int count, char **arguments)
{
    reloader_options options = RELOADER_OPTIONS_INIT;
    reloader_report report = RELOADER_REPORT_INIT;
    reloader_fault failure = RELOADER_FAULT_INIT;
    struct { reloader_options known; uint64_t more; } future;
    struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 0}};
    reloader_snapshot *snapshot = NULL;
    reloader *plugin = NULL;
    void *address = NULL;
    int value = 0, mode = 0;

    CHECK(count == 2 && strcmp(reloader_version(), "0.1.0") == 0 && reloader_message()[0] == 0);
    CHECK(jobs(arguments[0]) == 0);

    CHECK(reloader_open("/nowhere", &options, &plugin) == RELOADER_NOT_FOUND && !plugin);
    CHECK(strstr(reloader_message(), "/nowhere"));
    CHECK(reloader_open(NULL, &options, &plugin) == RELOADER_BAD_ARGUMENT);
    CHECK(reloader_open(arguments[1], &options, NULL) == RELOADER_BAD_ARGUMENT);
    options.flags = 1u << 30;
    CHECK(reloader_open(arguments[1], &options, &plugin) == RELOADER_BAD_ARGUMENT);
    options.flags = 0;
    options.policy = 9;
    CHECK(reloader_open(arguments[1], &options, &plugin) == RELOADER_BAD_ARGUMENT);
    options.policy = RELOADER_BY_SYMBOL;
    options.size = 0;
    CHECK(reloader_open(arguments[1], &options, &plugin) == RELOADER_BAD_ARGUMENT);
    options.size = sizeof options;
    memset(&future, 0, sizeof future);
    future.known = options;
    future.known.size = sizeof future;
    CHECK(reloader_open(arguments[1], &future.known, &plugin) == RELOADER_OK && plugin);
    CHECK(reloader_close(plugin) == RELOADER_OK);
    future.more = 1;
    CHECK(reloader_open(arguments[1], &future.known, &plugin) == RELOADER_BAD_ARGUMENT && !plugin);
    CHECK(reloader_open(arguments[1], NULL, &plugin) == RELOADER_OK && reloader_close(plugin) == RELOADER_OK);

    options.hook = hook;
    options.hook_data = events;
    options.poll = 1;
    options.flags = RELOADER_MANUAL;
    CHECK(reloader_open(arguments[1], &options, &plugin) == RELOADER_OK);
    CHECK(reloader_context(plugin, NULL));
    reloader_context(plugin, NULL)->userdata = &mode;
    CHECK(reloader_symbol(plugin, "cr_main", &address) == RELOADER_NOT_FOUND && !address);
    CHECK(reloader_last_fault(plugin, &failure) == RELOADER_NOT_FOUND && failure.kind == RELOADER_FAULT_NONE);
    CHECK(reloader_take_snapshot(plugin, &snapshot) == RELOADER_NOT_FOUND && !snapshot);
    CHECK(reloader_step(plugin, &value) == RELOADER_OK && value == 1);
    CHECK(reloader_symbol(plugin, "cr_main", &address) == RELOADER_OK && address);
    CHECK(reloader_symbol(plugin, "none", &address) == RELOADER_NOT_FOUND && !address);
    CHECK(reloader_take_snapshot(plugin, &snapshot) == RELOADER_OK && snapshot);
    CHECK(reloader_step(plugin, NULL) == RELOADER_OK && reloader_step(plugin, &value) == RELOADER_OK && value == 3);
    CHECK(reloader_restore(plugin, snapshot) == RELOADER_OK);
    CHECK(reloader_state(plugin, &report) == RELOADER_OK && report.carried == 1 && report.bytes == 4);
    CHECK(report.version == 1 && report.steps == 3 && strstr(report.text, "1 carried"));
    CHECK(reloader_step(plugin, &value) == RELOADER_OK && value == 2);
    reloader_free_snapshot(snapshot);
    reloader_free_snapshot(NULL);

    CHECK(utimensat(AT_FDCWD, arguments[1], times, 0) == 0);
    CHECK(reloader_step(plugin, &value) == RELOADER_OK && value == 3 && reloader_context(plugin, NULL)->version == 1);
    CHECK(reloader_check(plugin) == RELOADER_OK);
    own = plugin;
    CHECK(reloader_step(plugin, &value) == RELOADER_OK && value == 4);
    own = NULL;
    CHECK(inside == RELOADER_BUSY && reloader_context(plugin, NULL)->version == 2);
    CHECK(reloader_state(plugin, &report) == RELOADER_OK && report.version == 2 && report.oldest == 1);

    mode = 1;
    CHECK(reloader_step(plugin, &value) == RELOADER_FAILED);
    CHECK(reloader_last_fault(plugin, &failure) == RELOADER_OK);
    CHECK(failure.kind == RELOADER_FAULT_ACCESS && failure.failure == CR_SEGFAULT && failure.version == 2);
    CHECK(strcmp(failure.function, "cr_main") == 0 && strstr(failure.file, "guest.c") && failure.line > 0);
    CHECK(failure.has_address && failure.address == 8 && strstr(reloader_message(), "guest.c"));
    mode = 0;
    CHECK(reloader_step(plugin, &value) == RELOADER_OK && value == 4);
    CHECK(reloader_roll_back(plugin, 0) == RELOADER_NOT_FOUND && reloader_roll_back(plugin, 7) == RELOADER_NOT_FOUND);
    times[1].tv_sec++;
    CHECK(utimensat(AT_FDCWD, arguments[1], times, 0) == 0 && reloader_check(plugin) == RELOADER_OK);
    options.flags = 0;
    CHECK(reloader_step(plugin, &value) == RELOADER_OK);
    CHECK(reloader_set_temp_dir(plugin, "/nowhere/at/all") == RELOADER_IO);
    CHECK(reloader_set_temp_dir(plugin, "/tmp") == RELOADER_OK);
    CHECK(reloader_close(plugin) == RELOADER_OK && reloader_close(NULL) == RELOADER_OK);
    CHECK(events[RELOADER_EVENT_LOADED] == 1 && events[RELOADER_EVENT_RELOADED] >= 1);
    CHECK(events[RELOADER_EVENT_FAULT] == 1 && events[RELOADER_EVENT_ROLLED_BACK] == 1);
    CHECK(events[RELOADER_EVENT_CLOSED] == 1 && events[RELOADER_EVENT_BEFORE_UNLOAD] >= 1);

    CHECK(reloader_step(NULL, NULL) == RELOADER_BAD_ARGUMENT && reloader_update(NULL, NULL, 1) == -2);
    CHECK(reloader_check(NULL) == RELOADER_BAD_ARGUMENT && !reloader_context(NULL, NULL));
    CHECK(reloader_roll_back(NULL, 0) == RELOADER_BAD_ARGUMENT);
    CHECK(reloader_symbol(NULL, "x", &address) == RELOADER_BAD_ARGUMENT);
    CHECK(reloader_state(NULL, &report) == RELOADER_BAD_ARGUMENT);
    CHECK(reloader_last_fault(NULL, &failure) == RELOADER_BAD_ARGUMENT);
    CHECK(reloader_restore(NULL, NULL) == RELOADER_BAD_ARGUMENT);
    CHECK(strstr(reloader_message(), "null"));
    return 0;
}
"#;

#[test]
fn every_function_does_what_the_header_says() {
    let guest = guest(
        "static int CR_STATE count = 0;",
        "if (operation == CR_STEP) { if (mode == 1) *(volatile int *)8 = 1; count++; } return count;",
    );
    let script = Script::empty();
    write(&script.library(), &guest.bytes());
    let mut command = Command::new(Program::c(WHOLE).flag("-O0").path());
    good(&command.arg(script.library()).output().unwrap(), "the whole API");
}

#[test]
fn each_thread_has_its_own_message() {
    let source = r#"
#include "reloader.h"
#include <string.h>
#include <thread>
int main() {
    reloader *plugin = nullptr;
    if (reloader_open("/one", nullptr, &plugin) != RELOADER_NOT_FOUND) return 1;
    int other = 0;
    std::thread([&] {
        if (reloader_message()[0]) other = 2;
        if (reloader_step(nullptr, nullptr) != RELOADER_BAD_ARGUMENT || !strstr(reloader_message(), "null")) other = 3;
    }).join();
    return strstr(reloader_message(), "/one") ? other : 4;
}
"#;
    good(&Command::new(Program::cxx(source).path()).output().unwrap(), "messages");
}

#[test]
fn a_pe_image_gets_another_pdb_path() {
    let (Some(clang), Some(link)) = (tool("clang-19"), tool("lld-link-19")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (source, image) = (directory.path().join("dll.c"), directory.path().join("old.dll"));
    std::fs::write(&source, "int one(void) { return 1; }").unwrap();
    let mut compile = Command::new(clang.0);
    compile.current_dir(directory.path()).args(["-target", "x86_64-pc-windows-msvc"]);
    good(&compile.args(["-g", "-gcodeview", "-c", "dll.c"]).output().unwrap(), "clang");
    let mut linked = Command::new(link.0);
    linked.current_dir(directory.path()).args(["/dll", "/noentry", "/debug", "/out:old.dll"]);
    good(&linked.arg("dll.o").output().unwrap(), "lld-link");
    let program = r#"
#include "reloader.h"
#include <stdio.h>
int main(int count, char **arguments) {
    reloader_section section = RELOADER_SECTION_INIT;
    reloader_status status;
    if (count < 3) return 1;
    if (reloader_find_section(arguments[1], ".text", &section) != RELOADER_OK || !section.file_size) return 2;
    status = reloader_set_pdb_path(arguments[1], arguments[2], "C:\\build\\new.pdb");
    printf("%d %s\n", (int)status, reloader_message());
    return status != RELOADER_OK;
}
"#;
    let target = directory.path().join("new.dll");
    let mut command = Command::new(Program::c(program).path());
    good(&command.arg(&image).arg(&target).output().unwrap(), "another PDB path");
    let bytes = std::fs::read(target).unwrap();
    let path = b"C:\\build\\new.pdb\0";
    assert!(bytes.windows(path.len()).any(|window| window == path));
}
