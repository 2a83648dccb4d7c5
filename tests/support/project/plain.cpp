#define HEAVY
#include "inlines.h"
#include "macros.h"
#include <vendor.h>

extern "C" int plain_total(int number) {
    return shared_same(number) + shared_differ(number) + STEP * VENDOR_ONE;
}
