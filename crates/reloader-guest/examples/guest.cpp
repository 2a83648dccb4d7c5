// A guest in C++: counts its steps, and shows which count survives a reload.
//
//   c++ -shared -fPIC -I crates/reloader-guest/include crates/reloader-guest/examples/guest.cpp -o libguest.so
//   cargo run --release --bin reloader -- run libguest.so
//
// Then change greeting, build again in another terminal, and watch.
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "reloader_guest.h"

namespace {

const char *const greeting = "Hello";

// Plain data only: a std::string or std::vector here would be destroyed when its version is unmapped.
struct Counts {
    unsigned steps;
    unsigned loads;
};

CR_STATE Counts all = {0, 0};

int run(const cr_plugin &plugin, cr_op operation)
{
    switch (operation) {
    case CR_LOAD:
        all.loads++;
        std::printf("%s from version %u; load %u, steps so far: %u\n", greeting, plugin.version, all.loads, all.steps);
        if (plugin.failure != CR_NONE)
            std::printf("The version before this one failed: %d.\n", static_cast<int>(plugin.failure));
        break;
    case CR_STEP:
        all.steps++;
        if ((all.steps & (all.steps - 1)) == 0)
            std::printf("version %u: step %u of all\n", plugin.version, all.steps);
        break;
    case CR_UNLOAD:
        std::printf("Version %u makes room.\n", plugin.version);
        break;
    case CR_CLOSE:
        std::printf("Goodbye.\n");
        break;
    default:
        throw std::invalid_argument("an operation of a newer host");
    }
    std::fflush(stdout);
    return 0;
}

} // namespace

// An exception must not pass through the host, so it becomes a negative number here.
CR_EXPORT int cr_main(cr_plugin *ctx, cr_op operation)
{
    try {
        return run(*ctx, operation);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "guest: %s\n", error.what());
        return -3;
    }
}
