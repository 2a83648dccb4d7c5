/* Keeps a ledger at its host's: who was called for what, and what the guest's variables were then.
 *
 * -DBUILD=n says which build it is, and cr_main returns it. -DFAIL_IN=CR_STEP -DFAIL_BY=segv makes it fail there, and
 * -DRETURNS=-5 makes it return that there. Valid as C and as C++. */
#include "reloader_guest.h"
#include "faults.h"

#ifndef BUILD
#define BUILD 1
#endif
#ifndef STATE
#define STATE CR_STATE
#endif

struct ledger {
    int calls[4]; /* of all builds, by operation */
    int build;    /* the last that was called */
    int version;  /* as the context said */
    int failure;  /* as the context said at the last CR_LOAD */
    int count;    /* kept by the state */
    int plain;    /* .data that is no state: of this image alone */
    int bss;      /* .bss, likewise */
};

static int STATE count = 0;
static int plain = 500;
static int bss;

CR_EXPORT int ledger_count(void);
CR_EXPORT int ledger_count(void) { return count; }

CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
{
    struct ledger *ledger = (struct ledger *)ctx->userdata;
    if (operation == CR_STEP) {
        count++;
        plain++;
        bss++;
    }
    if (ledger) {
        ledger->calls[operation]++;
        ledger->build = BUILD;
        ledger->version = (int)ctx->version;
        if (operation == CR_LOAD)
            ledger->failure = (int)ctx->failure;
        ledger->count = count;
        ledger->plain = plain;
        ledger->bss = bss;
    }
#ifdef FAIL_IN
    if (operation == FAIL_IN) {
#ifdef FAIL_BY
        FAIL_BY();
#endif
#ifdef RETURNS
        return RETURNS;
#endif
    }
#endif
    return BUILD;
}
