/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Live reload for hosts and guests that were written for fungos/cr, over libreloader: the same names, numbers and
 * layout. C11 or later, C++17 or later. A guest includes it as it is. A host defines CR_HOST before, in as many files
 * as it likes, and links with -lreloader:
 *
 *     #define CR_HOST            // or: #define CR_HOST CR_SAFE
 *     #include "cr.h"
 *
 *     int main(void)                                            // C; in C++ write `ctx` for `&ctx`
 *     {
 *         struct cr_plugin ctx = {0};
 *         if (!cr_plugin_open(&ctx, "build/" CR_PLUGIN("guest")))
 *             return 1;
 *         while (cr_plugin_update(&ctx, true) >= 0) { }
 *         cr_plugin_close(&ctx);
 *     }
 *
 *     CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)    // the guest
 *     {
 *         static int CR_STATE steps = 0;                                     // outlives a reload
 *         return operation == CR_STEP ? ++steps : 0;
 *     }
 *
 * What the library does where cr is silent, and what it does better, is in the README of reloader-capi.
 *
 * Guests and their host need this one file, as with cr; so it has the enums and the structure itself and does not take
 * them from reloader_guest.h, the header of guests alone. Whichever of both is included first is used.
 */
#ifndef __CR_H__
#define __CR_H__

#if defined(_WIN32)
#define CR_WINDOWS
#define CR_PLUGIN(name) "" name ".dll"
#elif defined(__APPLE__)
#define CR_OSX
#define CR_PLUGIN(name) "lib" name ".dylib"
#elif defined(__linux__)
#define CR_LINUX
#define CR_PLUGIN(name) "lib" name ".so"
#else
#error "cr.h knows Linux, macOS and Windows only"
#endif

#if defined(__cplusplus)
#define CR_DETAIL_C extern "C"
#else
#define CR_DETAIL_C
#endif

/* Before the definition of cr_main: the host can find it. CR_IMPORT is for what a guest takes from another library. */
#if defined(_WIN32)
#define CR_EXPORT CR_DETAIL_C __declspec(dllexport)
#else
#define CR_EXPORT CR_DETAIL_C __attribute__((__visibility__("default")))
#endif
#if defined(_MSC_VER)
#define CR_IMPORT CR_DETAIL_C __declspec(dllimport)
#else
#define CR_IMPORT
#endif

/* How the state gets from one build to the next: always variable by variable, by name. The modes say which builds are
 * refused. */
enum cr_mode {
    CR_SAFEST = 0, /* builds whose state has another size or lies elsewhere */
    CR_SAFE = 1,   /* builds whose state has another size */
    CR_UNSAFE = 2, /* none; this is the mode of a host that names none */
    CR_DISABLE = 3 /* none, and no state is carried */
};

/* What the host asks of the guest in one call. */
enum cr_op {
    CR_LOAD = 0,   /* this version was just loaded: the first, a new one, or an old one after a rollback */
    CR_STEP = 1,   /* the host's regular call */
    CR_UNLOAD = 2, /* another version is about to take over */
    CR_CLOSE = 3   /* the host is done with the guest */
};

/* What became of the last call. */
enum cr_failure {
    CR_NONE = 0,
    CR_SEGFAULT = 1,          /* access to memory that is not there */
    CR_ILLEGAL = 2,           /* illegal instruction */
    CR_ABORT = 3,             /* abort(), a failed assertion, an exception that nobody caught */
    CR_MISALIGN = 4,          /* bus error */
    CR_BOUNDS = 5,            /* array bounds exceeded */
    CR_STACKOVERFLOW = 6,     /* out of stack */
    CR_STATE_INVALIDATED = 7, /* a build was refused: the mode does not allow its state */
    CR_BAD_IMAGE = 8,         /* a build was refused: it cannot be loaded, or not yet */
    CR_INITIAL_FAILURE = 9,   /* no version works; a build that does is loaded when it is there */
    CR_OTHER = 10,            /* CR_OTHER + n: signal n */
    CR_USER = 0x100           /* cr_main returned a negative number */
};

struct cr_plugin;

typedef int (*cr_plugin_main_func)(struct cr_plugin *ctx, enum cr_op operation);

/* What host and guest share. A host may move it between calls. */
struct cr_plugin {
    void *p;                           /* the library's */
    void *userdata;                    /* the host's and the guest's; survives reloads */
    unsigned int version;              /* the version that runs, from 1; numbers are never used again */
    enum cr_failure failure;           /* of the last update */
    unsigned int next_version;         /* the number of the next build */
    unsigned int last_working_version; /* the last version that completed a step */
};

#if defined(__cplusplus)
static_assert(sizeof(struct cr_plugin) == 2 * sizeof(void *) + 16, "layout of cr_plugin");
static_assert(sizeof(enum cr_op) == sizeof(int), "enums have the size of int");
#else
_Static_assert(sizeof(struct cr_plugin) == 2 * sizeof(void *) + 16, "layout of cr_plugin");
_Static_assert(sizeof(enum cr_op) == sizeof(int), "enums have the size of int");
#endif

#if !defined(CR_HOST)

/* Among the specifiers of a static variable of a guest: it keeps its value when the guest is reloaded. Other declarations
 * of it (`extern`) go without. */
#if defined(_MSC_VER) && !defined(__clang__)
#pragma section(".state", read, write)
#define CR_STATE __declspec(allocate(".state"))
#elif defined(__APPLE__)
#define CR_STATE __attribute__((__used__, __section__("__DATA,__state")))
#else
#define CR_STATE __attribute__((__used__, __section__(".state")))
#endif

#else /* a host */

#include <stdbool.h>
#include <stdio.h>

/* What hosts in C++ have got with cr, and may use without including it. */
#if defined(__cplusplus)
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#if !defined(_WIN32)
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#if defined(CR_LINUX)
#include <elf.h>
#include <link.h>
#endif
#endif

#include "reloader.h"

/* What a host may define before. The library has allocations of its own: CR_MALLOC, CR_REALLOC and CR_FREE are accepted
 * and not used. CR_ERROR gets what went wrong, CR_LOG what happened, CR_TRACE stands at the start of each function. */
#ifndef CR_MAIN_FUNC
#define CR_MAIN_FUNC "cr_main"
#endif
/* Not of cr: nanoseconds after which a call into the guest is broken off, and the guest has failed; 0 for never. */
#ifndef CR_DEADLINE
#define CR_DEADLINE 0
#endif
#ifndef CR_LOG
#ifdef CR_DEBUG
#define CR_LOG(...) fprintf(stdout, __VA_ARGS__)
#else
#define CR_LOG(...)
#endif
#endif
#ifndef CR_ERROR
#ifdef CR_DEBUG
#define CR_ERROR(...) fprintf(stderr, __VA_ARGS__)
#else
#define CR_ERROR(...)
#endif
#endif
#ifndef CR_TRACE
#ifdef CR_DEBUG
#define CR_TRACE fprintf(stdout, "CR_TRACE: %s\n", __func__);
#else
#define CR_TRACE
#endif
#endif
#ifndef CR_ASSERT
#include <assert.h>
#define CR_ASSERT(e) assert(e)
#endif
#ifndef CR_MALLOC
#include <stdlib.h>
#define CR_MALLOC(size) malloc(size)
#endif
#ifndef CR_REALLOC
#include <stdlib.h>
#define CR_REALLOC(ptr, size) realloc(ptr, size)
#endif
#ifndef CR_FREE
#include <stdlib.h>
#define CR_FREE(ptr) free(ptr)
#endif

/* CR_HOST may be defined as nothing, or as a mode. */
#define CR_DETAIL_JOIN(a, b) a##b
#define CR_DETAIL_MARKED(mode) CR_DETAIL_JOIN(mode, 7001)
#if CR_DETAIL_MARKED(CR_HOST) == 7001
#define CR_OP_MODE CR_UNSAFE
#else
#define CR_OP_MODE CR_HOST
#endif

/* The start of what `p` leads to. */
struct cr_internal {
    const char *fullname; /* the plugin's path */
    const char *temppath; /* as cr_set_temporary_path was given it, or "" */
};

static inline void cr_detail_log(void *data, const reloader_event *event)
{
    (void)data;
    if (event->kind == RELOADER_EVENT_REFUSED || event->kind == RELOADER_EVENT_FAULT) {
        CR_ERROR("cr: %s\n", event->text);
    } else {
        CR_LOG("cr: %s\n", event->text);
    }
}

static inline bool cr_detail_open(struct cr_plugin *ctx, const char *fullpath, int mode, const char *entry,
                                  uint64_t deadline)
{
    CR_TRACE
    static const unsigned int policies[4] = {RELOADER_IDENTICAL, RELOADER_SAME_SIZE, RELOADER_BY_SYMBOL,
                                             RELOADER_NO_STATE};
    reloader_options options = RELOADER_OPTIONS_INIT;
    reloader *plugin = RELOADER_NULL;
    CR_ASSERT(fullpath);
    options.entry = entry;
    options.context = ctx;
    options.hook = cr_detail_log;
    options.deadline = deadline;
    options.flags = RELOADER_AS_CR;
    options.policy = policies[mode & 3];
    if (reloader_open(fullpath, &options, &plugin) != RELOADER_OK) {
        CR_ERROR("cr: %s\n", reloader_message());
        ctx->p = RELOADER_NULL;
        return false;
    }
    ctx->p = plugin;
    return true;
}

static inline int cr_detail_update(struct cr_plugin *ctx, bool check)
{
    return reloader_update((reloader *)ctx->p, ctx, check);
}

static inline void cr_detail_close(struct cr_plugin *ctx)
{
    CR_TRACE
    reloader *plugin = (reloader *)ctx->p;
    if (plugin)
        reloader_context(plugin, ctx);
    const reloader_status status = reloader_close(plugin);
    if (status != RELOADER_OK) {
        CR_ERROR("cr: %s\n", reloader_message());
    }
    if (status == RELOADER_BUSY) /* from inside the guest or the hook: it is still open */
        return;
    ctx->p = RELOADER_NULL;
    ctx->version = 0;
}

static inline bool cr_detail_temporary_path(struct cr_plugin *ctx, const char *path)
{
    CR_TRACE
    if (reloader_set_temp_dir((reloader *)ctx->p, path) == RELOADER_OK)
        return true;
    CR_ERROR("cr: %s\n", reloader_message());
    return false;
}

#if defined(__cplusplus)

/* False if the file is not there or cannot be read. What `ctx` holds is not looked at, but for `userdata`. */
static inline bool cr_plugin_open(cr_plugin &ctx, const char *fullpath)
{
    return cr_detail_open(&ctx, fullpath, CR_OP_MODE, CR_MAIN_FUNC, CR_DEADLINE);
}

/* The older name of it. */
static inline bool cr_plugin_load(cr_plugin &ctx, const char *fullpath)
{
    return cr_plugin_open(ctx, fullpath);
}

/* Copies of the plugin are made in this directory from now on, instead of the system's place for such (or beside the
 * plugin, where that is missing, full or noexec). */
static inline void cr_set_temporary_path(cr_plugin &ctx, const std::string &path)
{
    cr_detail_temporary_path(&ctx, path.c_str());
}

/* Runs the guest once. -1 if it failed in that, -2 if a load or unload failed or nothing can run; else what cr_main
 * returned. */
static inline int cr_plugin_update(cr_plugin &ctx, bool reloadCheck = true)
{
    return cr_detail_update(&ctx, reloadCheck);
}

/* Tells the guest CR_CLOSE and frees everything but `userdata`. */
static inline void cr_plugin_close(cr_plugin &ctx)
{
    cr_detail_close(&ctx);
}

/* Where cr would put the copy of a version. This library uses names of its own; nothing is there. */
static inline std::string cr_version_path(const std::string &basepath, unsigned version, const std::string &temppath)
{
    const std::string::size_type slash = basepath.find_last_of("/\\");
    const std::string::size_type name = slash == std::string::npos ? 0 : slash + 1;
    std::string::size_type dot = basepath.rfind('.');
    if (dot == std::string::npos || dot < name)
        dot = basepath.size();
    const std::string folder = temppath.empty() ? basepath.substr(0, name) : temppath;
    return folder + basepath.substr(name, dot - name) + std::to_string(version) + basepath.substr(dot);
}

/* Removes a file. */
static inline void cr_del(const std::string &path)
{
    std::remove(path.c_str());
}

#else /* C: the same with pointers */

static inline bool cr_plugin_open(struct cr_plugin *ctx, const char *fullpath)
{
    return cr_detail_open(ctx, fullpath, CR_OP_MODE, CR_MAIN_FUNC, CR_DEADLINE);
}

static inline bool cr_plugin_load(struct cr_plugin *ctx, const char *fullpath)
{
    return cr_plugin_open(ctx, fullpath);
}

static inline bool cr_set_temporary_path(struct cr_plugin *ctx, const char *path)
{
    return cr_detail_temporary_path(ctx, path);
}

static inline int cr_plugin_update(struct cr_plugin *ctx, bool reloadCheck)
{
    return cr_detail_update(ctx, reloadCheck);
}

static inline void cr_plugin_close(struct cr_plugin *ctx)
{
    cr_detail_close(ctx);
}

#endif /* C */

#endif /* a host */

#endif /* __CR_H__ */
