#pragma once

/* Both are emitted wherever they are used; the linker keeps one of each. */
extern "C" __attribute__((noinline)) inline int shared_same(int number) {
    volatile int kept = number;
    return kept * 5 + 1;
}

extern "C" __attribute__((noinline)) inline int shared_differ(int number) {
    volatile int kept = number;
#ifdef HEAVY
    for (int round = 0; round < number; round++)
        kept = kept * 7 + round / (kept | 1);
#endif
    return kept + 2;
}
