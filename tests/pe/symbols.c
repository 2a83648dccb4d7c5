/* symbols.exe IMAGE: loads it, calls it, and says what dbghelp knows of a function that is not exported. */
#include <windows.h>
#include <dbghelp.h>
#include <stdio.h>

int main(int argc, char **argv) {
    HMODULE module = LoadLibraryA(argv[1]);
    if (!module) {
        printf("not loaded: %lu\n", GetLastError());
        return 1;
    }
    int (*twice)(int) = (int (*)(int))(void *)GetProcAddress(module, "twice");
    void *(*hidden)(void) = (void *(*)(void))(void *)GetProcAddress(module, "hidden");
    printf("twice(5) = %d\n", twice(5));

    HANDLE process = GetCurrentProcess();
    SymSetOptions(SYMOPT_UNDNAME | SYMOPT_LOAD_LINES | SYMOPT_EXACT_SYMBOLS);
    SymInitialize(process, NULL, FALSE);
    SymLoadModuleEx(process, NULL, argv[1], NULL, (DWORD64)(ULONG_PTR)module, 0, NULL, 0);

    IMAGEHLP_MODULE64 found = {.SizeOfStruct = sizeof found};
    SymGetModuleInfo64(process, (DWORD64)(ULONG_PTR)module, &found);
    printf("pdb = %s\n", found.LoadedPdbName);

    union { SYMBOL_INFO info; char room[sizeof(SYMBOL_INFO) + 256]; } symbol = {0};
    symbol.info.SizeOfStruct = sizeof symbol.info;
    symbol.info.MaxNameLen = 256;
    DWORD64 distance = 0;
    if (SymFromAddr(process, (DWORD64)(ULONG_PTR)hidden(), &distance, &symbol.info))
        printf("symbol = %s\n", symbol.info.Name);
    else
        printf("symbol = none\n");
    return 0;
}
