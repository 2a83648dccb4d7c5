/* Does what it is told on its standard input, a line at a time, and answers each with a line. It
   ends when nobody tells it anything any more. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef EXTRA
#include EXTRA
#endif

static void say(const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof text - 2) length = sizeof text - 2;
    text[length++] = '\n';
    if (write(1, text, length) != length) _exit(3);
}

static char *hear(char *line, int size) {
    int length = 0;
    char byte;
    while (length < size - 1) {
        ssize_t got = read(0, &byte, 1);
        if (got == -1 && errno == EINTR) continue;
        if (got != 1) _exit(0);
        if (byte == '\n') break;
        line[length++] = byte;
    }
    line[length] = 0;
    return line;
}

static volatile sig_atomic_t signals;
static void count(int number) { (void)number; signals++; }

#ifndef NO_DLOPEN
#include <dlfcn.h>
static void *handles[4096];
static int handle_count;

static char why[4096];

static void opened(void *handle) {
    if (!handle) {
        const char *error = dlerror();
        say("failed: %s", error ? error : why);
        return;
    }
    handles[handle_count] = handle;
    say("handle %d", handle_count++);
}

static void *open_in_thread(void *path) {
    void *handle = dlopen(path, RTLD_NOW);
    if (!handle) snprintf(why, sizeof why, "%s", dlerror());
    return handle;
}

static void *churn_in_thread(void *path) {
    for (int i = 0; i < 200; i++) {
        void *handle = dlopen(path, RTLD_NOW);
        if (!handle || dlclose(handle)) return "failed";
    }
    return 0;
}
#endif

static int obey(char *line) {
    char *argument = strchr(line, ' ');
    if (argument) *argument++ = 0;
    if (!strcmp(line, "alive")) say("alive %d", (int)signals);
    else if (!strcmp(line, "raise")) say("raised %d", raise(atoi(argument)));
    else if (!strcmp(line, "chdir")) say("chdir %d", chdir(argument));
    else if (!strcmp(line, "exit")) _exit(atoi(argument));
    else if (!strcmp(line, "crash")) *(volatile int *)8 = 1;
    else if (!strcmp(line, "exec")) {
        char *const arguments[] = { argument, 0 };
        execv(argument, arguments);
        say("failed: %s", strerror(errno));
    }
    else if (!strcmp(line, "traceable")) {
        say("traceable %d", prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0));
    }
#ifndef NO_DLOPEN
    else if (!strcmp(line, "open")) opened(dlopen(argument, RTLD_NOW));
    else if (!strcmp(line, "close")) say("closed %d", dlclose(handles[atoi(argument)]));
#ifdef LM_ID_NEWLM
    else if (!strcmp(line, "space")) opened(dlmopen(LM_ID_NEWLM, argument, RTLD_NOW));
    else if (!strcmp(line, "beside")) {
        char *path = strchr(argument, ' ');
        *path++ = 0;
        Lmid_t space;
        if (dlinfo(handles[atoi(argument)], RTLD_DI_LMID, &space)) say("failed: %s", dlerror());
        else opened(dlmopen(space, path, RTLD_NOW));
    }
#endif
    else if (!strcmp(line, "thread")) {
        pthread_t thread;
        void *handle = 0;
        int failed = pthread_create(&thread, 0, open_in_thread, argument);
        if (failed) say("failed: no thread: %s", strerror(failed));
        else {
            pthread_join(thread, &handle);
            opened(handle);
        }
    }
    else if (!strcmp(line, "churn")) {
        pthread_t threads[4];
        void *failed = 0, *one;
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, churn_in_thread, argument);
        for (int i = 0; i < 4; i++) { pthread_join(threads[i], &one); if (one) failed = one; }
        say(failed ? "failed" : "churned");
    }
    else if (!strcmp(line, "fork")) {
        pid_t child = fork();
        if (!child) _exit(dlopen(argument, RTLD_NOW) ? 42 : 1);
        int status = 0;
        while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
        if (WIFEXITED(status)) say("child %d", WEXITSTATUS(status));
        else say("child killed by %d", WTERMSIG(status));
    }
    else if (!strcmp(line, "many")) {
        /* many FIRST END DIRECTORY: opens DIRECTORY/libNNNN.so for each and says how long that took */
        int first, end, at = 0;
        struct timespec from, to;
        sscanf(argument, "%d %d %n", &first, &end, &at);
        char path[4096];
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int i = first; i < end; i++) {
            snprintf(path, sizeof path, "%s/lib%04d.so", argument + at, i);
            void *handle = dlopen(path, RTLD_NOW);
            if (!handle) { say("failed: %s", dlerror()); return 0; }
            handles[handle_count++] = handle;
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        say("micros %ld", (to.tv_sec - from.tv_sec) * 1000000L + (to.tv_nsec - from.tv_nsec) / 1000);
    }
#endif
    else say("what is %s?", line);
    return 0;
}

int main(void) {
    char line[4096];
    struct sigaction action = { 0 };
    action.sa_handler = count;
    sigaction(SIGUSR1, &action, 0);
    say("ready");
    for (;;) obey(hear(line, sizeof line));
}
