/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What a guest, a library that is reloaded while its host runs, includes. C89 to C23, C++98 to C++23.
 *
 *     #include "reloader_guest.h"
 *
 *     static int CR_STATE steps = 0;
 *
 *     CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
 *     {
 *         if (operation == CR_STEP)
 *             steps++;
 *         return 0;
 *     }
 *
 * cr_main returns zero or more, which the host hands on, or a negative number, which is a failure. No C++
 * exception may leave it.
 *
 * The names and the layout are those of fungos/cr, so one guest serves the hosts of both. If cr.h was included
 * before this file, its definitions are used. If it is included after it, it is taken as included already, which
 * is right for a guest; a file that is a host as well (it defines CR_HOST) includes cr.h only.
 */
#ifndef RELOADER_GUEST_H
#define RELOADER_GUEST_H

#ifndef __CR_H__
#define __CR_H__

/* What the host asks of the guest in one call. */
enum cr_op {
    CR_LOAD = 0,   /* this version was just loaded: the first, a new one, or an old one after a rollback */
    CR_STEP = 1,   /* the host's regular call */
    CR_UNLOAD = 2, /* another version is about to take over */
    CR_CLOSE = 3   /* the host is done with the guest */
};

/* What became of the last version. */
enum cr_failure {
    CR_NONE = 0,
    CR_SEGFAULT = 1,          /* access to memory that is not there */
    CR_ILLEGAL = 2,           /* illegal instruction */
    CR_ABORT = 3,             /* abort() */
    CR_MISALIGN = 4,          /* misaligned access */
    CR_BOUNDS = 5,            /* array bounds exceeded */
    CR_STACKOVERFLOW = 6,     /* out of stack */
    CR_STATE_INVALIDATED = 7, /* the old version's state does not fit the new one */
    CR_BAD_IMAGE = 8,         /* the image cannot be loaded */
    CR_INITIAL_FAILURE = 9,   /* the first version failed: nothing to go back to */
    CR_OTHER = 10,            /* CR_OTHER + n: signal n */
    CR_USER = 0x100           /* cr_main returned a negative number */
};

/* Belongs to the host; a guest reads it and may set userdata. */
struct cr_plugin {
    void *p;                           /* the host's own */
    void *userdata;                    /* shared by the host and all versions; never points into a version */
    unsigned int version;              /* the running version, from 1 */
    enum cr_failure failure;           /* why the last version failed, or CR_NONE */
    unsigned int next_version;         /* the number of the next build */
    unsigned int last_working_version; /* the last version that worked */
};

/* Fails to compile where enums are not the size of int (-fshort-enums). */
typedef char reloader_guest_layout[sizeof(struct cr_plugin) == 2 * sizeof(void *) + 16 ? 1 : -1];

#if defined(__cplusplus)
#define RELOADER_GUEST_EXTERN_C extern "C"
#else
#define RELOADER_GUEST_EXTERN_C
#endif

/* Before the definition of cr_main: the host can find it. */
#if defined(_WIN32)
#define CR_EXPORT RELOADER_GUEST_EXTERN_C __declspec(dllexport)
#else
#define CR_EXPORT RELOADER_GUEST_EXTERN_C __attribute__((__visibility__("default")))
#endif

/* Among the specifiers of a static variable: it keeps its value when the guest is reloaded.
 *
 *     static int CR_STATE count = 0;
 *     static CR_STATE float seconds = 0.0f;
 *     static struct world CR_STATE *world;
 *
 * Hosts find a variable again by its name and size, or carry the section as a whole. Of the memory that it points
 * to, only what the guest allocated survives, not what lies in the guest's image: literals, functions, vtables.
 * The type must not be const, nor have a constructor or destructor.
 *
 * "used" matters where a build only reads a variable: the compiler must not take it for a constant, since an
 * earlier build may have written to it. Microsoft's compiler has no such word: give a variable that no build but
 * an earlier one writes to external linkage there, or make it volatile.
 */
#if defined(_MSC_VER) && !defined(__clang__)
#pragma section(".state", read, write)
#define CR_STATE __declspec(allocate(".state"))
#elif defined(__APPLE__)
#define CR_STATE __attribute__((__used__, __section__("__DATA,__state")))
#else
#define CR_STATE __attribute__((__used__, __section__(".state")))
#endif

#endif /* __CR_H__ */
#endif /* RELOADER_GUEST_H */
