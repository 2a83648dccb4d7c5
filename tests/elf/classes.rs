use elf_sections::{Class, Expected, Image, Machine, Reason, verdict};
use reloader_tests::{tool, went_through};

use crate::workshop::Workshop;

/// An imported function in a table of its own, and a pointer to a variable.
const SOURCE: &str = "extern void imported(void); void (*to_imported)(void) = imported;
    static int own[4] = {1}; int *to_own = &own[2];
    void value(void) { imported(); to_imported(); }";

/// Processors whose relocations have other numbers, or write another word, where pointers have 32
/// bits.
const NARROW: [(Machine, &[&str]); 4] = [
    (Machine::X86_64, &["gcc", "-mx32"]),
    (Machine::AARCH64, &["aarch64-linux-gnu-gcc", "-mabi=ilp32"]),
    (Machine::RISCV, &["clang-19", "--target=riscv32-linux-gnu", "-fuse-ld=lld"]),
    (Machine::LOONGARCH, &["clang-19", "--target=loongarch32-linux-gnu", "-fuse-ld=lld"]),
];

#[test]
fn libraries_with_pointers_of_32_bits_are_taken_for_what_they_are() {
    let workshop = Workshop::new();
    let mut count = 0;
    for (machine, compiler) in NARROW {
        let [program, arguments @ ..] = compiler else { unreachable!("a compiler") };
        if tool(program).is_none() {
            continue;
        }
        let what = format!("{compiler:?}");
        let flags = ["-shared", "-fPIC", "-nostdlib", "-ffreestanding", "-O1"];
        let command = [&[*program], arguments, &flags[..]].concat();
        let Some(path) = workshop.compile("narrow.so", SOURCE, &command) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        assert_eq!((image.header().machine, image.header().class), (machine, Class::Elf32));
        assert_eq!(verdict(&bytes, &Expected::like(image.header())).reason(), None, "{what}");

        let (index, writable) = (image.symbol_index(), image.writable());
        let address = |name: &[u8]| index.named(name).next().unwrap().address;
        let imports = image.imports("imported");
        assert!(imports.contains(&address(b"to_imported")), "{what}: {imports:x?}");
        assert!(imports.len() >= 2, "{what}: {imports:x?}");
        for word in [&b"to_imported"[..], b"to_own"] {
            let start = address(word);
            for byte in start..start + 4 {
                assert_eq!(writable.exclusion_at(byte), Some(Reason::RelocatedWord), "{what}");
            }
        }
        assert!(writable.contains(address(b"own")), "{what}");
        count += 1;
    }
    went_through(count, NARROW.len(), "libraries");
}
