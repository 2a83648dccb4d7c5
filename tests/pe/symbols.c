/* symbols.exe IMAGE...: loads each, calls it, and says in one line what dbghelp knows of a function in it that is not
   exported. */
#include <windows.h>
#include <dbghelp.h>
#include <stdio.h>

static void tell(HANDLE process, const char *image) {
    HMODULE module = LoadLibraryA(image);
    if (!module) {
        printf("not loaded: %lu\n", GetLastError());
        return;
    }
    DWORD64 base = (DWORD64)(ULONG_PTR)module;
    int (*twice)(int) = (int (*)(int))(void *)GetProcAddress(module, "twice");
    void *(*hidden)(void) = (void *(*)(void))(void *)GetProcAddress(module, "hidden");
    printf("twice(5) = %d; ", twice(5));

    SymLoadModuleEx(process, NULL, image, NULL, base, 0, NULL, 0);
    union { SYMBOL_INFO info; char room[sizeof(SYMBOL_INFO) + 256]; } symbol = {0};
    symbol.info.SizeOfStruct = sizeof symbol.info;
    symbol.info.MaxNameLen = 256;
    DWORD64 distance = 0;
    if (SymFromAddr(process, (DWORD64)(ULONG_PTR)hidden(), &distance, &symbol.info))
        printf("symbol = %s; ", symbol.info.Name);
    else
        printf("symbol = none; ");

    IMAGEHLP_MODULE64 found = {.SizeOfStruct = sizeof found};
    SymGetModuleInfo64(process, base, &found);
    printf("pdb = %s\n", found.LoadedPdbName);
}

int main(int argc, char **argv) {
    HANDLE process = GetCurrentProcess();
    SymSetOptions(SYMOPT_UNDNAME | SYMOPT_LOAD_LINES | SYMOPT_EXACT_SYMBOLS);
    SymInitialize(process, NULL, FALSE);
    for (int i = 1; i < argc; i++) tell(process, argv[i]);
    return 0;
}
