/* loads.exe LIST: for each image that the file LIST names, one a line, what the loader makes of it: the PDB path
   that a debugger finds in memory, or the error. */
#include <windows.h>
#include <stdio.h>
#include <string.h>

static const char *path_in_memory(const unsigned char *base) {
    const IMAGE_NT_HEADERS64 *nt = (const void *)(base + ((const IMAGE_DOS_HEADER *)base)->e_lfanew);
    IMAGE_DATA_DIRECTORY debug = nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_DEBUG];
    const IMAGE_DEBUG_DIRECTORY *entry = (const void *)(base + debug.VirtualAddress);
    for (unsigned i = 0; i < debug.Size / sizeof *entry; i++, entry++) {
        const char *record = (const char *)base + entry->AddressOfRawData;
        if (entry->Type == IMAGE_DEBUG_TYPE_CODEVIEW && memcmp(record, "RSDS", 4) == 0) return record + 24;
    }
    return "no path";
}

int main(int argc, char **argv) {
    FILE *list = fopen(argv[1], "r");
    char line[4096];
    while (list && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\r\n")] = 0;
        HMODULE module = LoadLibraryExA(line, NULL, DONT_RESOLVE_DLL_REFERENCES);
        if (module)
            printf("loaded %s\n", path_in_memory((const unsigned char *)module));
        else
            printf("error %lu\n", GetLastError());
    }
    return argc != 2;
}
