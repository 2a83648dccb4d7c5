/* Ways to fail, each under the name of what it does. */
#ifndef FAULTS_H
#define FAULTS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __cplusplus
#include <exception>
#include <stdexcept>
#endif

#define WAY __attribute__((noinline, unused)) static void

WAY segv(void) { *(volatile int *)8 = 1; }

WAY execute_nothing(void)
{
    void (*volatile nothing)(void) = 0;
    nothing();
}

WAY bus(void)
{
    int file = (int)syscall(SYS_memfd_create, "empty", 0);
    volatile char *page = (volatile char *)mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    (void)*page;
}

WAY ill(void) { __builtin_trap(); }

WAY divide(void)
{
    volatile int some = 7, zero = 0;
    some = some / zero;
}

WAY trap(void)
{
#if defined(__x86_64__)
    __asm__ volatile("int3");
#else
    __asm__ volatile("brk #0");
#endif
}

WAY bad_system_call(void) { raise(SIGSYS); }

WAY call_abort(void) { abort(); }

WAY failed_assertion(void) { assert(!"what the guest takes for granted"); }

WAY free_twice(void)
{
    void *volatile block = malloc(40);
    free(block);
    free(block);
}

__attribute__((noinline, unused)) static int deeper(volatile char *above)
{
    volatile char frame[512];
    memset((void *)frame, above[0] + 1, sizeof frame);
    return deeper(frame) + frame[7];
}

WAY overflow_the_stack(void)
{
    volatile char frame[1] = {0};
    deeper(frame);
}

WAY loop_for_ever(void)
{
    volatile int on = 1;
    while (on) {
    }
}

WAY sleep_for_ever(void)
{
    for (;;)
        pause();
}

#ifdef __cplusplus
WAY throw_an_exception(void) { throw std::runtime_error("thrown by the guest"); }
WAY call_terminate(void) { std::terminate(); }
#endif

#endif
