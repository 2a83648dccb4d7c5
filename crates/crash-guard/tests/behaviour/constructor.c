// Faults while it is being loaded.
__attribute__((constructor)) static void construct(void) { *(volatile int *)8 = 1; }
