#include "declared.h"
#include "types.h"
#include <vendor.h>

extern "C" int shapes_area(int side) {
    shape square = {{0, 0}, {side, side}};
    return (square.high.x - square.low.x) * (square.high.y - square.low.y) * VENDOR_TWO;
}
