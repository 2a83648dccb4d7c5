use std::process::Command;

use elf_sections::{Kind, SegmentKind, Source};
use reloader_tests::tool;

use crate::workshop::{Workshop, printed, succeed};

#[test]
fn a_core_file_has_the_memory_and_the_notes_of_its_process() {
    let workshop = Workshop::new();
    let source = "char text[] = \"what the process had in its memory\"; volatile int *nowhere;
                  int main(void) { text[0] = 'W'; return *nowhere; }";
    let Some(program) = workshop.compile("program", source, &["gcc", "-g", "-no-pie"]) else {
        return;
    };
    if tool("gdb").is_none() {
        return;
    }
    let core = workshop.path("core");
    let command = format!("generate-core-file {}", core.display());
    succeed(
        Command::new("gdb").args(["-batch", "-nx", "-ex", "run", "-ex", &command]).arg(&program),
    );

    let source = Source::new(std::fs::File::open(&core).unwrap()).unwrap();
    let image = source.image().unwrap();
    assert_eq!(image.header().kind, Kind::Core);
    let bytes = std::fs::read(&program).unwrap();
    let program = elf_sections::Image::parse(&bytes).unwrap();
    let text = *program.symbol_index().named(b"text").next().unwrap();
    let found = image.bytes_at(text.address, text.size).unwrap();
    assert_eq!(found, b"What the process had in its memory\0");
    assert!(image.writable().contains(text.address));
    assert!(image.segment_at(text.address).unwrap().permissions.is_writable());
    let Some(printed) = printed("readelf", &["-nW"], &core) else { return };
    let notes: Vec<_> = image.notes().collect();
    let lines = printed.lines().filter(|line| {
        ["  CORE ", "  LINUX ", "  GDB "].iter().any(|owner| line.starts_with(owner))
    });
    assert_eq!(lines.count(), notes.len(), "{printed}");
    assert!(notes.iter().any(|note| note.name == b"CORE"));
    assert_eq!(image.segments()[0].kind, SegmentKind::NOTE);
}
