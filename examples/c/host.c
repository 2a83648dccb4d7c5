/* The part of the program that stays: it steps the guest, some times or until it is interrupted.
 *
 *     host LIBRARY [STEPS]
 */
#define _POSIX_C_SOURCE 200809L
#define CR_HOST
#include "cr.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    struct cr_plugin plugin = {0};
    const struct timespec pause = {0, 200000000};
    long left = argc > 2 ? atol(argv[2]) : -1;

    if (argc < 2) {
        fprintf(stderr, "usage: %s LIBRARY [STEPS]\n", argv[0]);
        return 2;
    }
    if (!cr_plugin_open(&plugin, argv[1])) {
        fprintf(stderr, "%s\n", reloader_message());
        return 1;
    }
    while (left != 0) {
        if (cr_plugin_update(&plugin, true) < 0)
            fprintf(stderr, "%s\n", reloader_message());
        if (left > 0)
            left--;
        if (left != 0)
            nanosleep(&pause, NULL);
    }
    cr_plugin_close(&plugin);
    return 0;
}
