// A guest that goes wrong in every way the tests ask for. Built with -O0 and with -O2.
#include <cassert>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <pthread.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

typedef void (*Callback)(void *);

static volatile int destroyed = 0;
struct Counted {
    ~Counted() { destroyed = destroyed + 1; }
};

extern "C" {

void write_to_null() { *(volatile int *)8 = 1; } // LINE: write_to_null

// Faults

void call_abort() { abort(); }
void fail_assertion() { assert(!"the guest is wrong"); }
void terminate_by_noexcept() noexcept { throw 1; }

void free_twice() {
    char *volatile first = (char *)malloc(2000);
    char *volatile second = (char *)malloc(2000);
    free(first);
    free(first);
    free(second);
}

// A segmentation fault inside the allocator, with the arena's lock held where there are threads.
void fault_in_malloc() {
    char *volatile first = (char *)malloc(0x500);
    char *volatile second = (char *)malloc(0x500);
    free(first);
    ((volatile size_t *)first)[1] = 8;
    char *volatile third = (char *)malloc(0x600);
    (void)second;
    (void)third;
}

void fault_in_printf() { printf("%s", (const char *)8); }
void fault_in_memcpy(void *to) { memcpy(to, (void *)8, 4000); }

__attribute__((noinline)) int recurse(int depth) {
    volatile char frame[512];
    frame[depth & 511] = (char)depth;
    return recurse(depth + 1) + frame[3];
}
void overflow() { recurse(0); }
__attribute__((noinline)) int recurse_through_library(int depth) {
    char text[64];
    snprintf(text, sizeof text, "%d %s %g", depth, "text", depth / 3.0);
    return recurse_through_library(depth + 1) + text[3];
}
void overflow_in_library() { recurse_through_library(0); }
int frame_of_12_mib() {
    volatile char frame[12 * 1024 * 1024];
    frame[0] = 1;
    frame[sizeof frame - 1] = 2;
    return frame[0];
}

void divide_floats() {
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() & ~0x0200u);
#endif
    volatile double one = 1, zero = 0, result = one / zero;
    (void)result;
}

void spin() {
    for (volatile unsigned long turn = 0;; turn = turn + 1) {
    }
}

// Exceptions

void throw_runtime_error() {
    Counted counted;
    throw std::runtime_error("from the guest");
}
void throw_int() {
    Counted counted;
    throw 42;
}
void rethrow_pointer() {
    std::exception_ptr pointer;
    try {
        throw std::logic_error("first");
    } catch (...) {
        pointer = std::current_exception();
    }
    std::rethrow_exception(pointer);
}
int throw_and_catch() {
    try {
        throw std::logic_error("x");
    } catch (std::exception &error) {
        return (int)strlen(error.what());
    }
}
__attribute__((noinline)) int throw_from_depth(int depth) {
    volatile int below = depth == 0 ? throw 42 : throw_from_depth(depth - 1);
    return below + 1;
}
void throw_again() {
    try {
        throw_runtime_error();
    } catch (...) {
        throw;
    }
}
struct ThrowsAndCatches {
    ~ThrowsAndCatches() { throw_and_catch(); }
};
void throw_past_a_throwing_destructor() {
    ThrowsAndCatches busy;
    throw 42;
}
struct CallsBack {
    Callback callback;
    void *argument;
    ~CallsBack() { callback(argument); }
};
void throw_and_call_back(Callback callback, void *argument) {
    CallsBack busy{callback, argument};
    throw 42;
}
struct FaultsInDestructor {
    ~FaultsInDestructor() { write_to_null(); }
};
void throw_faulting_destructor() { throw FaultsInDestructor(); }
int destroyed_count() { return destroyed; }
int uncaught_count() { return std::uncaught_exceptions(); }

// Threads and processes

void fault_on_own_thread() {
    pthread_t thread;
    pthread_create(&thread, 0, [](void *) -> void * { write_to_null(); return nullptr; }, 0);
    pthread_join(thread, 0);
}
void on_thread_with_stack(Callback callback, void *argument, size_t size) {
    struct Call {
        Callback callback;
        void *argument;
    } call{callback, argument};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (size)
        pthread_attr_setstacksize(&attributes, size);
    pthread_t thread;
    pthread_create(
        &thread, &attributes,
        [](void *given) -> void * {
            ((Call *)given)->callback(((Call *)given)->argument);
            return nullptr;
        },
        &call);
    pthread_join(thread, 0);
}
void exit_thread() {
    Counted counted;
    pthread_exit((void *)7);
}
static int status_of(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}
int fault_in_fork() {
    pid_t child = fork();
    if (child == 0) {
        write_to_null();
        _exit(33);
    }
    return status_of(child);
}
int fault_in_vfork() {
    pid_t child = vfork();
    if (child == 0) {
        *(volatile int *)8 = 1;
        _exit(33);
    }
    return status_of(child);
}

// Other stacks

static ucontext_t main_context, coroutine_context;
static void run_coroutine(void (*body)()) {
    static char *stack = nullptr;
    const size_t size = 64 * 1024;
    if (!stack) {
        char *mapping = (char *)mmap(0, size + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack = mapping + 65536;
        mprotect(stack, size, PROT_READ | PROT_WRITE);
    }
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = stack;
    coroutine_context.uc_stack.ss_size = size;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, body, 0);
    swapcontext(&main_context, &coroutine_context);
}
void fault_in_coroutine() { run_coroutine(write_to_null); }
void overflow_in_coroutine() { run_coroutine(overflow); }

// State that must be the caller's again

void disturb_and_fault() {
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x6000u);
    unsigned short control = 0x0e7f;
    __asm__ volatile("fldcw %0\n fld1\n fld1\n fld1\n std" ::"m"(control));
#else
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" ::"r"(control | (3ul << 22)));
#endif
    *(volatile int *)8 = 1;
}
void disturb_and_throw() {
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x6000u);
#else
    unsigned long control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" ::"r"(control | (3ul << 22)));
#endif
    throw 1;
}
void check_alignment_and_fault() {
#if defined(__x86_64__)
    __asm__ volatile("pushfq\n orq $0x40000, (%rsp)\n popfq");
#endif
    *(volatile int *)8 = 1;
}
void change_errno_and_fault() {
    errno = 33;
    write_to_null();
}
void block_and_fault() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, 0);
    write_to_null();
}
void unblock_and_fault() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &signals, 0);
    write_to_null();
}
static void handle_and_fault(int) { write_to_null(); }
void fault_in_signal_handler() {
    signal(SIGUSR2, handle_and_fault);
    raise(SIGUSR2);
}

// Jumps over the host's frames

static jmp_buf jump;
int set_jump_and_call(Callback callback, void *argument) {
    if (setjmp(jump) == 0) {
        callback(argument);
        return 0;
    }
    return 1;
}
void jump_back() { longjmp(jump, 1); }
void call_back(Callback callback, void *argument) { callback(argument); }

// Handlers

static void handle(int, siginfo_t *, void *) { _exit(77); }
void install_handler() {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = handle;
    sigaction(SIGSEGV, &action, 0);
}

}
