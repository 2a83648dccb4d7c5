/* A guest in C: counts its steps, and shows which count survives a reload.
 *
 *   cc -shared -fPIC -I crates/reloader-guest/include crates/reloader-guest/examples/guest.c -o libguest.so
 *   cargo run --release --bin reloader -- run libguest.so
 *
 * Then change GREETING, build again in another terminal, and watch.
 */
#include <stdio.h>

#include "reloader_guest.h"

#define GREETING "Hello"

/* Steps taken by all versions together. */
static unsigned CR_STATE steps = 0;

/* Steps taken by this version: an ordinary variable, which starts afresh with each. */
static unsigned steps_of_this_version = 0;

CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
{
    switch (operation) {
    case CR_LOAD:
        printf("%s from version %u; steps so far: %u\n", GREETING, ctx->version, steps);
        if (ctx->failure != CR_NONE)
            printf("The version before this one failed: %d.\n", (int)ctx->failure);
        break;
    case CR_STEP:
        steps++;
        steps_of_this_version++;
        if ((steps & (steps - 1)) == 0)
            printf("version %u: step %u of its own, %u of all\n", ctx->version,
                   steps_of_this_version, steps);
        break;
    case CR_UNLOAD:
        printf("Version %u makes room.\n", ctx->version);
        break;
    case CR_CLOSE:
        printf("Goodbye.\n");
        break;
    }
    fflush(stdout);
    return 0;
}
