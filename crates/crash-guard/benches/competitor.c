// What guards are measured against: sigsetjmp around the call, siglongjmp out of the handler.
#include <setjmp.h>
#include <signal.h>
#include <string.h>

typedef void (*Entry)(void *);

static __thread sigjmp_buf *landing;

int call_plain(Entry entry, void *argument) {
    entry(argument);
    return 0;
}

int call_sigsetjmp(Entry entry, void *argument) {
    sigjmp_buf buffer;
    sigjmp_buf *outer = landing;
    int signal = sigsetjmp(buffer, 1);
    if (signal == 0) {
        landing = &buffer;
        entry(argument);
    }
    landing = outer;
    return signal;
}

static void handle(int signal, siginfo_t *information, void *context) {
    (void)information;
    (void)context;
    siglongjmp(*landing, signal);
}

void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
    action.sa_sigaction = handle;
    sigaction(SIGSEGV, &action, 0);
}
