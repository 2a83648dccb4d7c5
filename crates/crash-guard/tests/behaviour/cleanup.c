// A clean-up in C, which may let out an exception of its own while another passes.
typedef void (*Callback)(void *);

struct CleanUp {
    Callback callback;
    void *argument;
};
static void clean_up(struct CleanUp *clean_up) { clean_up->callback(clean_up->argument); }

void call_and_clean_up(void (*body)(void), Callback callback, void *argument) {
    __attribute__((cleanup(clean_up))) struct CleanUp last = {callback, argument};
    body();
}
