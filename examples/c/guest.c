/* The part of the program that is edited while it runs. */
#include "cr.h"

#include <stdio.h>

CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
{
    static int CR_STATE steps = 0; /* kept when this file is changed and built again */

    switch (operation) {
    case CR_LOAD:
        printf("version %u, after %d steps\n", ctx->version, steps);
        return 0;
    case CR_STEP:
        steps++;
        printf("step %d of version %u\n", steps, ctx->version);
        return steps;
    case CR_UNLOAD:
    case CR_CLOSE:
        break;
    }
    return 0;
}
