/* What an update costs, beside what cr does for one: sigsetjmp with the signal mask, and a stat to look for a new
 * build. Both are measured in turn, round by round.
 *
 *     update LIBRARY [ROUNDS]
 */
#define _XOPEN_SOURCE 700
#define CR_HOST
#include "cr.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { MOST = 1001 };

static struct cr_plugin ctx;
static const char *path;
static cr_plugin_main_func guest;
static sigjmp_buf landing;
static time_t newest;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Nanoseconds of one evaluation of `call`, which gives 0. */
#define EACH(call, times)                    \
    double start = now();                    \
    for (int i = 0; i < (times); i++)        \
        if ((call) != 0)                     \
            abort();                         \
    return (now() - start) / (times)

static double update(int times) { EACH(cr_plugin_update(&ctx, false), times); }
static double update_checked(int times) { EACH(cr_plugin_update(&ctx, true), times); }

static inline int baseline_call(void)
{
    if (sigsetjmp(landing, 1))
        return -1;
    return guest(&ctx, CR_STEP);
}

static inline int baseline_call_checked(void)
{
    struct stat info;
    if (stat(path, &info) == 0 && info.st_mtime > newest)
        return -1;
    return baseline_call();
}

static double baseline(int times) { EACH(baseline_call(), times); }
static double baseline_checked(int times) { EACH(baseline_call_checked(), times); }

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static void compare(const char *what, double (*ours)(int), double (*theirs)(int), int rounds, double bound)
{
    static double mine[MOST], base[MOST], ratios[MOST];
    /* Looks at the file that were saved up are used up first: this is about calling all the time. */
    ours(200000);
    theirs(1000);
    for (int i = 0; i < rounds; i++) {
        mine[i] = ours(100000);
        base[i] = theirs(5000);
        ratios[i] = base[i] / mine[i];
    }
    printf("  %s: %.1f ns, baseline %.1f ns, 1/%.1f of it (at least 1/%.0f)\n", what, median(mine, rounds),
           median(base, rounds), median(ratios, rounds), bound);
}

int main(int count, char **arguments)
{
    int rounds = count > 2 ? atoi(arguments[2]) : 41;
    struct stat info;
    void *handle;

    if (count < 2 || rounds < 1 || rounds > MOST)
        return 2;
    path = arguments[1];
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle || stat(path, &info) != 0)
        return 3;
    newest = info.st_mtime;
    *(void **)&guest = dlsym(handle, "cr_main");
    if (!cr_plugin_open(&ctx, path) || cr_plugin_update(&ctx, true) != 0)
        return 4;
    compare("cr_plugin_update(ctx, false) / sigsetjmp(env, 1)", update, baseline, rounds, 10);
    compare("cr_plugin_update(ctx, true) / stat and sigsetjmp(env, 1)", update_checked, baseline_checked, rounds, 50);
    cr_plugin_close(&ctx);
    return 0;
}
