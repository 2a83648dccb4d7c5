#include "declared.h"
#include "inlines.h"
#include "macros.h"

extern "C" int plain_total(int number);
extern "C" int alone(int number);

#ifndef FORCED
#error "forced.h is not here"
#endif

int main(int count, char **) {
    return shapes_area(count) + plain_total(count) + alone(count) + TWICE(count) +
           shared_same(count) + shared_differ(count);
}
