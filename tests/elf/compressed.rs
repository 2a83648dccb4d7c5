use elf_sections::{CompressionKind, Error, Image};
use reloader_tests::{tool, went_through};
use std::process::Command;

use crate::workshop::{Workshop, succeed};

const SOURCE: &str = "static int numbers[100]; struct one { int a; char *b; };
    int value(struct one *it) { numbers[1] += it->a; return it->b[numbers[0]]; }";

#[test]
fn contents_are_those_that_other_tools_decompress() {
    let workshop = Workshop::new();
    // GNU's may be built without zstd, and LLVM's never writes the oldest kind.
    let kinds = [
        ("objcopy", "zlib", CompressionKind::Zlib),
        ("llvm-objcopy-19", "zlib", CompressionKind::Zlib),
        ("llvm-objcopy-19", "zstd", CompressionKind::Zstd),
        ("objcopy", "zlib-gnu", CompressionKind::GnuZlib),
    ];
    let mut count = 0;
    for class in ["-m64", "-m32"] {
        let command = ["gcc", "-g3", "-c", class];
        let Some(plain) = workshop.compile("plain.o", SOURCE, &command) else { return };
        let plain_bytes = std::fs::read(&plain).unwrap();
        let plain_image = Image::parse(&plain_bytes).unwrap();
        for (objcopy, name, kind) in kinds {
            if tool(objcopy).is_none() {
                continue;
            }
            let compressed = workshop.path("compressed.o");
            let mut command = Command::new(objcopy);
            command.arg(format!("--compress-debug-sections={name}")).args([&plain, &compressed]);
            succeed(&mut command);
            let bytes = std::fs::read(&compressed).unwrap();
            let image = Image::parse(&bytes).unwrap();
            let mut found = 0;
            for section in image.sections() {
                let Some(compression) = image.compression_of(section) else {
                    let contents = image.section_contents(section, 0).unwrap();
                    assert_eq!(Some(&*contents), image.section_bytes(section));
                    continue;
                };
                assert_eq!(compression.kind, kind);
                let contents = image.section_contents(section, 1 << 20).unwrap();
                let name = String::from_utf8_lossy(section.name).replace(".zdebug", ".debug");
                let plain = &plain_image.sections()[section.index as usize];
                assert_eq!(plain.name, name.as_bytes());
                assert!(Some(&*contents) == plain_image.section_bytes(plain), "{name}");
                assert_eq!(compression.size, plain.size);
                let refused = image.section_contents(section, compression.size - 1);
                assert!(matches!(refused, Err(Error::Malformed { .. })), "{refused:?}");
                found += 1;
            }
            assert!(found >= 2, "{class} {name}: {found}");
            count += found;
            damaged(&bytes);
        }
    }
    went_through(count, 16, "sections");
}

/// Whatever is wrong with the compressed bytes, it is an error or other contents of that size.
fn damaged(bytes: &[u8]) {
    let image = Image::parse(bytes).unwrap();
    let section = image.sections().iter().find(|it| image.compression_of(it).is_some()).unwrap();
    let range = section.offset as usize..(section.offset + section.size) as usize;
    for place in range.clone().step_by(range.len() / 60 + 1) {
        let mut damaged = bytes.to_vec();
        damaged[place] ^= 0x11;
        let image = Image::parse(&damaged).unwrap();
        let section = &image.sections()[section.index as usize];
        if let Ok(contents) = image.section_contents(section, 1 << 20)
            && let Some(compression) = image.compression_of(section)
        {
            assert_eq!(contents.len() as u64, compression.size);
        }
    }
}
