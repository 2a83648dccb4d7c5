/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * libreloader: a shared library of C or C++ is replaced by its next build while the program runs, with its state
 * kept and its crashes survived. C11 or later, C++17 or later.
 *
 *     #include "reloader.h"
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         reloader_options options = RELOADER_OPTIONS_INIT;
 *         reloader *plugin = NULL;
 *         int value = 0;
 *
 *         if (reloader_open("build/libguest.so", &options, &plugin) != RELOADER_OK) {
 *             fprintf(stderr, "%s\n", reloader_message());
 *             return 1;
 *         }
 *         while (value == 0)
 *             if (reloader_step(plugin, &value) == RELOADER_FAILED)
 *                 fprintf(stderr, "%s\n", reloader_message());
 *         reloader_close(plugin);
 *         return 0;
 *     }
 *
 * The guest exports `int cr_main(struct cr_plugin *ctx, enum cr_op operation)`; cr.h, which is installed beside this
 * file, has the types for it, and for hosts that were written for fungos/cr.
 *
 * Status. A function that can fail returns a reloader_status: zero is success, a positive one says how a guest
 * fared, a negative one is an error of the call or its surroundings. reloader_message() then says in words what
 * happened. No function ends the program, and none throws.
 *
 * Null. A pointer may be null where this file says so. Elsewhere null gives RELOADER_BAD_ARGUMENT.
 *
 * Ownership. What a function hands out through a `**` is the caller's, who gives it to the function named there.
 * Strings and structures that are given to a function are read during the call only. Strings that are handed out
 * belong to the library; this file says how long they live.
 *
 * Threads. Any number of plugins may be used by any number of threads. One plugin is used by one thread at a time; it
 * may move between calls. A function that is called for a plugin while another call for it is under way on the same
 * thread, from a guest or a hook, returns RELOADER_BUSY. Functions without a plugin may be called by any thread at
 * any time.
 *
 * Guests. They run in the host's process, on the thread that calls reloader_step. A fault in one is caught. C++
 * objects of the frames between the fault and the guard are not destroyed, and memory, files and locks that it had
 * taken stay taken. A guest must not end the thread it is called on: pthread_exit() ends the process. Nor may it
 * longjmp() past its entry, into a frame of the host's: the plugin counts as busy from then on. One without symbols
 * (strip) has its .state carried as a whole, while the size stays the same, and nothing else.
 *
 * Structures with a member `size` grow with later versions of the library: set it to the size of the structure, as
 * the macros that end in _INIT do. An older library refuses what it does not know unless it is zero, and a newer one
 * leaves alone what lies behind the size.
 */
#ifndef RELOADER_H
#define RELOADER_H

#include <stddef.h>
#include <stdint.h>

#define RELOADER_VERSION_MAJOR 0
#define RELOADER_VERSION_MINOR 1
#define RELOADER_VERSION_PATCH 0

#if defined(_WIN32)
#define RELOADER_API
#else
#define RELOADER_API __attribute__((__visibility__("default")))
#endif

/* For what hosts call all the time: without the detour through the procedure linkage table. */
#if defined(__has_attribute)
#if __has_attribute(__noplt__)
#define RELOADER_STRAIGHT __attribute__((__noplt__))
#endif
#endif
#ifndef RELOADER_STRAIGHT
#define RELOADER_STRAIGHT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What is shared with the guest: 32 bytes, defined by cr.h. */
struct cr_plugin;

/* A plugin: a library that is reloaded. Ends with reloader_close; nothing may be asked of it afterwards, as of a closed
 * FILE. */
typedef struct reloader reloader;

/* The state of one version as a value. Ends with reloader_free_snapshot. */
typedef struct reloader_snapshot reloader_snapshot;

typedef enum reloader_status {
    RELOADER_OK = 0,
    RELOADER_IDLE = 1,           /* no version can run; a build that can is loaded when it is there */
    RELOADER_FAILED = 2,         /* a version, or the called function, failed: see the fault */
    RELOADER_BAD_ARGUMENT = -1,  /* a null pointer, a text that is not UTF-8, a structure of an unknown size */
    RELOADER_NOT_FOUND = -2,     /* no such file, symbol, section or version */
    RELOADER_IO = -3,            /* the operating system failed */
    RELOADER_BAD_IMAGE = -4,     /* a file is not the image it should be, or cannot be changed as was asked */
    RELOADER_UNSUPPORTED = -5,   /* not on this platform */
    RELOADER_BUSY = -6,          /* another call for this plugin is under way */
    RELOADER_INTERNAL = -7       /* a defect of the library; it has told on the standard error */
} reloader_status;

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

/* What the last call on this thread that did not return RELOADER_OK had to say; "" before there was one. Never null.
 * Lives until the next such call on this thread. */
RELOADER_API const char *reloader_message(void);

/* The version of the library that runs, such as "0.1.0". Lives for ever. */
RELOADER_API const char *reloader_version(void);

/* ---- Opening and closing --------------------------------------------------------------------------------------- */

/* How the state, the variables in section .state, gets from one version to the next. */
typedef enum reloader_policy {
    RELOADER_BY_SYMBOL = 0, /* each variable by its name; one that is new starts with its initialiser */
    RELOADER_IDENTICAL = 1, /* sections of other addresses or sizes: the build is refused */
    RELOADER_SAME_SIZE = 2, /* sections of other sizes: the build is refused */
    RELOADER_FITS = 3,      /* smaller sections: the build is refused */
    RELOADER_NO_STATE = 4   /* nothing is carried */
} reloader_policy;

typedef enum reloader_flags {
    /* What a host that was written for cr expects: state by symbol under every policy; zero-initialised variables
     * outside .state are carried too, unless the image registers destructors; a build of the same bytes is loaded
     * again; a version that fails in CR_UNLOAD is left for the one before it; a build whose state cannot be found
     * is refused. */
    RELOADER_AS_CR = 1,
    /* Zero-initialised variables outside .state are carried too. */
    RELOADER_UNTAGGED = 2,
    /* The file may be missing when the plugin is opened. */
    RELOADER_MAY_BE_MISSING = 4,
    /* A build that failed is loaded again although its bytes are the same. */
    RELOADER_RETRY_KNOWN_BAD = 8,
    /* Only reloader_check looks for a new build. */
    RELOADER_MANUAL = 16,
    /* A rebuilt library beside the plugin's, which the plugin needs, is no new build. */
    RELOADER_IGNORE_DEPENDENCIES = 32
} reloader_flags;

typedef enum reloader_event_kind {
    RELOADER_EVENT_OTHER = 0,
    RELOADER_EVENT_BEFORE_UNLOAD = 1, /* the running version is about to be told to unload */
    RELOADER_EVENT_LOADED = 2,        /* a version runs where none did */
    RELOADER_EVENT_RELOADED = 3,      /* a version took over from another */
    RELOADER_EVENT_REFUSED = 4,       /* a build was not loaded; what ran runs on */
    RELOADER_EVENT_FAULT = 5,         /* a version failed */
    RELOADER_EVENT_ROLLED_BACK = 6,   /* a version that was left before runs again, at once or with the next step */
    RELOADER_EVENT_RETIRED = 7,       /* an old version was given up; the text says whether its memory is free */
    RELOADER_EVENT_CLOSED = 8
} reloader_event_kind;

typedef struct reloader_event {
    size_t size;
    reloader_event_kind kind;
    unsigned int version; /* the version it is about; 0 for none */
    unsigned int from;    /* the version that was left, for RELOADED and ROLLED_BACK; else 0 */
    int failure;          /* enum cr_failure, for FAULT and REFUSED; else 0 */
    uint64_t nanoseconds; /* how long the load took, for LOADED and RELOADED; else 0 */
    const char *text;     /* all of it in words. Lives until the hook returns. */
} reloader_event;

/* A host's function that is told what happens to a plugin: on the thread that uses the plugin, between the calls into
 * the guest. It must return: no exception, no longjmp. */
typedef void reloader_hook(void *data, const reloader_event *event);

typedef struct reloader_options {
    size_t size;
    const char *entry;         /* the guest's entry function; null: "cr_main" */
    const char *temp_dir;      /* where private copies of the builds are made, or nowhere; null: the system's place for
                                  temporary files, or beside the plugin where that is missing, full or noexec, which
                                  an event of the kind OTHER tells */
    struct cr_plugin *context; /* given to the guest, valid until the plugin is closed; null: one of the plugin's own */
    reloader_hook *hook;       /* may be null */
    void *hook_data;           /* given to the hook */
    uint64_t deadline;         /* nanoseconds after which a call into the guest is a fault; 0: none */
    uint64_t search_limit;     /* bytes of heap that are searched for pointers into old images; 0: 64 MiB;
                                  UINT64_MAX: no search */
    unsigned int flags;        /* of reloader_flags */
    unsigned int policy;       /* a reloader_policy */
    int history;               /* versions kept to go back to; 0: 3; negative: none */
    unsigned int poll;         /* milliseconds between looks at the file; 0: the system tells of changes */
} reloader_options;

#ifdef __cplusplus
#define RELOADER_NULL nullptr
#else
#define RELOADER_NULL NULL
#endif

#define RELOADER_OPTIONS_INIT \
    {sizeof(reloader_options), RELOADER_NULL, RELOADER_NULL, RELOADER_NULL, RELOADER_NULL, RELOADER_NULL, 0, 0, 0, 0, 0, 0}

/* Opens the library at `path` as a plugin and hands it out in `*plugin`, which is null after a failure. `options` may
 * be null. The first build is loaded by the first step; a file that is no loadable image is no error here, it is
 * refused then, and a build that is better is loaded when it is there.
 *
 * RELOADER_NOT_FOUND for a file that is missing; RELOADER_IO for one that cannot be read, or where no copies can be
 * made; RELOADER_UNSUPPORTED. */
RELOADER_API reloader_status reloader_open(const char *path, const reloader_options *options, reloader **plugin);

/* Tells the running version CR_CLOSE, unloads everything and frees the plugin. Null is fine. RELOADER_BUSY from inside
 * the guest or the hook; the plugin lives on then, and after every other status it is freed. RELOADER_IO if not all
 * of it could be ended in order. */
RELOADER_API reloader_status reloader_close(reloader *plugin);

/* From now on copies are made below `directory`, which exists, and nowhere else. After a failure they are made where
 * they were. */
RELOADER_API reloader_status reloader_set_temp_dir(reloader *plugin, const char *directory);

/* From now on the guest is given `context`, which must stay valid until the plugin is closed; with null nothing
 * changes. What stands in it is taken over as it is. Returns what the guest is given now; null if `plugin` is null or
 * busy. */
RELOADER_API struct cr_plugin *reloader_context(reloader *plugin, struct cr_plugin *context);

/* ---- Running --------------------------------------------------------------------------------------------------- */

/* Runs the guest once; before that, a new build takes over, or after a failure the last version that worked. Without
 * news this costs one atomic load and one guarded call. `value`, which may be null, gets what the guest returned.
 *
 * RELOADER_FAILED: the guest faulted or returned a negative number, which then is in `*value`; the next step runs what
 * works. RELOADER_IDLE: nothing can run. */
RELOADER_API reloader_status reloader_step(reloader *plugin, int *value);

/* The same with the numbers of cr, for cr.h: -1 where a step faulted, -2 where a load or unload failed or nothing can
 * run, else what the guest returned. `context`, if it is not null, is the guest's as by reloader_context. `check`:
 * whether to look for a new build. A file that changed before the call is noticed by the call itself, as long as
 * there are fewer than some thousand calls in a second; else when the system tells of it. */
RELOADER_STRAIGHT RELOADER_API int reloader_update(reloader *plugin, struct cr_plugin *context, int check);

/* The next step looks for a new build, whatever has been noticed. */
RELOADER_API reloader_status reloader_check(reloader *plugin);

/* Goes back to a version of the history with the state it was left with; 0 stands for the last one. RELOADER_NOT_FOUND
 * if there is none, RELOADER_FAILED if it fails when it is loaded again. */
RELOADER_API reloader_status reloader_roll_back(reloader *plugin, unsigned int version);

/* ---- Looking inside -------------------------------------------------------------------------------------------- */

/* What the running version exports as `name`; `*address` is null after a failure. Valid until the next step. A call
 * through it is not guarded. RELOADER_NOT_FOUND if no version runs or there is no such symbol. */
RELOADER_API reloader_status reloader_symbol(reloader *plugin, const char *name, void **address);

/* Hands out the state of the running version. It belongs to no version and no plugin: it can be restored into any
 * version, also after the plugin is closed. Memory that variables point to is not part of it. */
RELOADER_API reloader_status reloader_take_snapshot(reloader *plugin, reloader_snapshot **snapshot);

/* Puts a state into the running version, variable by variable; reloader_report tells what became of it. */
RELOADER_API reloader_status reloader_restore(reloader *plugin, const reloader_snapshot *snapshot);

/* Null is fine. */
RELOADER_API void reloader_free_snapshot(reloader_snapshot *snapshot);

/* A plugin, and what became of its state when it was last carried or restored. */
typedef struct reloader_report {
    size_t size;
    unsigned int version;      /* the version that runs, or will with the next step; 0 for none */
    unsigned int oldest;       /* the oldest version that can be gone back to; 0 for none */
    uint64_t steps;            /* how many steps all versions made */
    uint64_t bytes;            /* of state that were carried */
    unsigned int carried;      /* variables that kept their value */
    unsigned int added;        /* variables that are new and have their initialisers */
    unsigned int dropped;      /* variables that are gone */
    unsigned int resized;      /* variables whose size changed, and which kept what fits */
    unsigned int refused;      /* variables that could not be carried */
    unsigned int translated;   /* words that led into an old image and now into the new one */
    unsigned int untranslated; /* words that still lead into an old image, which stays mapped therefore */
    unsigned int reserved;
    const char *text; /* all of it in words, with names. Lives until the next call for this plugin. */
} reloader_report;

#define RELOADER_REPORT_INIT {sizeof(reloader_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, RELOADER_NULL}

RELOADER_API reloader_status reloader_state(reloader *plugin, reloader_report *report);

typedef enum reloader_fault_kind {
    RELOADER_FAULT_NONE = 0,
    RELOADER_FAULT_ACCESS = 1,          /* memory that is not there, or not for this access */
    RELOADER_FAULT_STACK_OVERFLOW = 2,
    RELOADER_FAULT_BUS = 3,             /* nothing behind mapped memory, or misaligned */
    RELOADER_FAULT_ILLEGAL = 4,         /* an instruction the processor does not know */
    RELOADER_FAULT_SYSTEM_CALL = 5,     /* a system call that a filter refused */
    RELOADER_FAULT_INTEGER_DIVIDE = 6,
    RELOADER_FAULT_FLOATING_POINT = 7,
    RELOADER_FAULT_TRAP = 8,
    RELOADER_FAULT_ABORT = 9,           /* abort(), assert(), std::terminate() */
    RELOADER_FAULT_RAISED = 10,         /* raise() of such a signal */
    RELOADER_FAULT_DEADLINE = 11,
    RELOADER_FAULT_EXCEPTION = 12,      /* an exception that nobody caught */
    RELOADER_FAULT_RETURNED = 13        /* cr_main returned a negative number */
} reloader_fault_kind;

typedef struct reloader_fault {
    size_t size;
    reloader_fault_kind kind;
    int failure;          /* enum cr_failure */
    unsigned int version; /* the version that failed; 0 for a guarded call */
    int signal;           /* 0 if it was none */
    int value;            /* what cr_main returned, for RELOADER_FAULT_RETURNED */
    int has_address;
    uint64_t address;     /* that was accessed, if has_address */
    uint64_t pc;          /* of the faulting instruction; 0 if it is not known */
    const char *function; /* the innermost function of the guest, demangled; null if it is not known */
    const char *file;     /* its source file as the compiler recorded it; null if it is not known */
    unsigned int line;    /* from 1; 0 if it is not known */
    int tainted;          /* 1: a lock of the C library, such as the heap's, may be held for ever */
    const char *text;     /* all of it in words */
} reloader_fault;

#define RELOADER_FAULT_INIT \
    {sizeof(reloader_fault), RELOADER_FAULT_NONE, 0, 0, 0, 0, 0, 0, 0, RELOADER_NULL, RELOADER_NULL, 0, 0, RELOADER_NULL}

/* The last failure of the plugin's versions. Its strings live until the next call for this plugin.
 * RELOADER_NOT_FOUND, and a fault of kind NONE, if there was none. */
RELOADER_API reloader_status reloader_last_fault(reloader *plugin, reloader_fault *fault);

/* ---- Single jobs ----------------------------------------------------------------------------------------------- */

/* Calls `function` with `argument`. If it faults, `*fault`, which may be null, says what happened, and
 * RELOADER_FAILED is returned; its strings live until the next guarded call on this thread that faults. `deadline` is
 * in nanoseconds, 0 for none. The function must not end in longjmp. After RELOADER_BAD_ARGUMENT it has not been called. */
RELOADER_API reloader_status reloader_guarded_call(void (*function)(void *argument), void *argument, uint64_t deadline,
                                                   reloader_fault *fault);

/* Writes the PE image at `image` to `target`, which may be the same file, with `pdb_path` as the path of its PDB:
 * whole or not at all, by renaming. A signed image is refused, and so is an `image` that is no regular file.
 * RELOADER_BAD_IMAGE says in words why it cannot be. */
RELOADER_API reloader_status reloader_set_pdb_path(const char *image, const char *target, const char *pdb_path);

typedef struct reloader_section {
    size_t size;
    uint64_t address;      /* as the image counts: from its base */
    uint64_t memory_size;  /* bytes it has in memory */
    uint64_t offset;       /* where it starts in the file */
    uint64_t file_size;    /* bytes it has in the file */
    uint64_t loaded_at;    /* its address in this process, where the file is loaded (ELF); else 0 */
} reloader_section;

#define RELOADER_SECTION_INIT {sizeof(reloader_section), 0, 0, 0, 0, 0}

/* The first section called `name` of the ELF or PE image at `image`. RELOADER_NOT_FOUND if it has none,
 * RELOADER_BAD_IMAGE for what is no such image and for what is no regular file. */
RELOADER_API reloader_status reloader_find_section(const char *image, const char *name, reloader_section *section);

typedef struct reloader_module {
    size_t size;
    const char *path;      /* as the loader opened it; "" for the program itself */
    uint64_t bias;         /* what the loader added to the image's addresses */
    uint64_t start;        /* its first mapped address */
    uint64_t end;          /* the first address behind it */
    const uint8_t *build_id;
    size_t build_id_size;  /* 0 if it has none */
} reloader_module;

/* Calls `each` for every image that is loaded in this process, until it returns something else than 0. The module
 * lives until `each` returns, which it must. */
RELOADER_API reloader_status reloader_modules(int (*each)(void *data, const reloader_module *module), void *data);

#ifdef __cplusplus
}
#define RELOADER_ASSERT(condition, text) static_assert(condition, text)
#else
#define RELOADER_ASSERT(condition, text) _Static_assert(condition, text)
#endif

RELOADER_ASSERT(sizeof(reloader_status) == sizeof(int), "enums have the size of int");
#if UINTPTR_MAX == UINT64_MAX
RELOADER_ASSERT(sizeof(reloader_options) == 80, "layout of reloader_options");
RELOADER_ASSERT(sizeof(reloader_event) == 40, "layout of reloader_event");
RELOADER_ASSERT(sizeof(reloader_report) == 72, "layout of reloader_report");
RELOADER_ASSERT(sizeof(reloader_fault) == 80, "layout of reloader_fault");
RELOADER_ASSERT(sizeof(reloader_section) == 48, "layout of reloader_section");
RELOADER_ASSERT(sizeof(reloader_module) == 56, "layout of reloader_module");
#endif

#endif /* RELOADER_H */
