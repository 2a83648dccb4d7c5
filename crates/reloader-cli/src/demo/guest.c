/* The library that `reloader demo` builds, edits and builds again. */

/* The contract with the host, as in reloader_guest.h. */
enum cr_op { CR_LOAD, CR_STEP, CR_UNLOAD, CR_CLOSE };
struct cr_plugin;
#if defined(__APPLE__)
#define CR_STATE __attribute__((__used__, __section__("__DATA,__state")))
#else
#define CR_STATE __attribute__((__used__, __section__(".state")))
#endif

static int CR_STATE counter = 0;

static void advance(void)
{
    counter += 1;
}

__attribute__((__visibility__("default")))
int cr_main(struct cr_plugin *host, enum cr_op operation)
{
    (void)host;
    if (operation == CR_STEP)
        advance();
    return counter;
}
