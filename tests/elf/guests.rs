use elf_sections::{Source, sys};
use reloader_tests::went_through;

use crate::loaded::Loaded;
use crate::workshop::Workshop;

const GUEST: &str = r#"
#include "elf_sections.h"
ELF_SECTION_BOUNDS(my_state);
ELF_SECTION_BOUNDS(no_such_section);
static ELF_SECTION(my_state) int steps = 1;
static ELF_SECTION(my_state) int total[6];
#ifdef __cplusplus
extern "C"
#endif
void tell(void (*say)(const char *, const void *, size_t)) {
    steps++;
    say("bounds", ELF_SECTION_START(my_state), ELF_SECTION_SIZE(my_state));
    say("end", ELF_SECTION_STOP(my_state), 0);
    say("steps", &steps, sizeof(steps));
    say("total", total, sizeof(total));
    say("none", ELF_SECTION_START(no_such_section), ELF_SECTION_SIZE(no_such_section));
}
"#;

#[test]
fn a_guest_knows_its_section_without_section_headers_and_whatever_the_linker_collects() {
    let workshop = Workshop::new();
    let include = format!("-I{}/../crates/elf-sections/include", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for compiler in ["gcc", "g++", "clang", "clang++"] {
        for linker in ["bfd", "gold", "lld", "mold"] {
            for collect in
                [&[][..], &["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]]
            {
                let linker = format!("-fuse-ld={linker}");
                let mut command = vec![
                    compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", &include, &linker,
                ];
                command.extend(collect);
                let Some(path) = workshop.compile("guest.so", GUEST, &command) else { continue };
                let loaded = Loaded::open(&path).unwrap();
                let said = loaded.told();
                let source = Source::new(std::fs::File::open(&path).unwrap()).unwrap();
                let image = source.image().unwrap();
                let section = image.sections_named("my_state").next().unwrap();
                let place = sys::locate(&loaded.module(), section);
                let bounds = said[0].start..said[0].start + said[0].size;
                assert_eq!((&bounds, bounds.end), (&place, said[1].start), "{command:?}");
                for variable in &said[2..4] {
                    let end = variable.start + variable.size;
                    assert!(bounds.contains(&variable.start) && end <= bounds.end, "{command:?}");
                }
                assert_eq!(said[4].size, 0, "{command:?}");
                drop(loaded);
                std::fs::remove_file(path).unwrap();
                count += 1;
            }
        }
    }
    went_through(count, 32, "guests");
}
