/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * For a library that shows others where some of its variables are: the recommended way. C99 and later, C++11 and
 * later, on ELF; with gcc 4.3 or later, or clang.
 *
 *     #include "elf_sections.h"
 *
 *     ELF_SECTION_BOUNDS(my_state);
 *
 *     static ELF_SECTION(my_state) int steps = 0;
 *     static ELF_SECTION(my_state) long total = 0;
 *
 *     size_t size = ELF_SECTION_SIZE(my_state);
 *
 * Where a section's name could be the name of a variable in C, as "my_state" could and ".state" could not, every
 * linker defines __start_NAME and __stop_NAME around it. So the library itself knows where the section is, in
 * every process that it is loaded in, and nobody needs the file, which may be another one by then, nor section
 * headers, which may have been stripped.
 *
 * All variables of a section come together, in all of the library's object files. Give them types whose alignment
 * divides one another's, or the linker puts gaps between them.
 */
#ifndef ELF_SECTIONS_H
#define ELF_SECTIONS_H

#include <stddef.h>

/* Linkers that collect unused sections keep those that are marked; without the mark, lld drops a section that only
 * __start_NAME refers to. */
#if defined(__has_attribute)
#if __has_attribute(__retain__)
#define ELF_SECTIONS_RETAIN __attribute__((__retain__))
#endif
#endif
#ifndef ELF_SECTIONS_RETAIN
#define ELF_SECTIONS_RETAIN
#endif

#if defined(__cplusplus)
#define ELF_SECTIONS_EXTERN extern "C"
#else
#define ELF_SECTIONS_EXTERN extern
#endif

/* Among the specifiers of a variable that has static storage: it goes into this section. "used" keeps the compiler
 * from leaving it out, or taking a variable that is never written to for a constant. The type must not be const. */
#define ELF_SECTION(name) __attribute__((__used__, __section__(#name))) ELF_SECTIONS_RETAIN

/* At file scope, once in each source file that asks for the bounds. They are hidden, so that each library has its
 * own, and weak, so that a section without variables is empty and no error; where that is then is
 * undefined. */
#define ELF_SECTION_BOUNDS(name)                                                              \
    ELF_SECTIONS_EXTERN char __start_##name[] __attribute__((__weak__, __visibility__("hidden"))); \
    ELF_SECTIONS_EXTERN char __stop_##name[] __attribute__((__weak__, __visibility__("hidden")))

/* The address of the section's first byte, the address behind its last one, and how many there are. */
#define ELF_SECTION_START(name) ((void *)__start_##name)
#define ELF_SECTION_STOP(name) ((void *)__stop_##name)
#define ELF_SECTION_SIZE(name) ((size_t)(__stop_##name - __start_##name))

#endif
