use std::collections::BTreeSet;

use macho_sections::{Binding, Container, Cpu, FileKind, FixupTarget, Image};

use reloader_tests::went_through;

use crate::made::{Workshop, output};
use crate::samples::samples;

/// An address, and the symbol it is bound to.
type Entry = (u64, Option<String>);

/// What llvm-objdump says of one image: tables of lines that each have an address.
fn listed(text: &str) -> BTreeSet<Entry> {
    let mut listed = BTreeSet::new();
    let mut is_bind = false;
    for line in text.lines() {
        match line {
            "Rebase table:" => is_bind = false,
            "Bind table:" | "Lazy bind table:" | "Weak bind table:" => is_bind = true,
            _ => {}
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let address = words.get(2).and_then(|word| word.strip_prefix("0x"));
        let Some(address) = address.and_then(|it| u64::from_str_radix(it, 16).ok()) else {
            continue;
        };
        // The lists of chained fixups say which each is; a weak import is marked behind its name.
        let is_bind = is_bind || words.get(4) == Some(&"bind");
        let mut words = words.iter().filter(|word| !word.starts_with('(') && !word.ends_with(')'));
        let symbol = words.next_back().filter(|_| is_bind).map(|&word| word.to_owned());
        listed.insert((address, symbol));
    }
    listed
}

fn ours(image: &Image<'_>) -> BTreeSet<Entry> {
    let entry = |fixup: macho_sections::Fixup<'_>| match fixup.target {
        FixupTarget::Symbol { name, .. } => {
            (fixup.address, Some(String::from_utf8_lossy(name).into_owned()))
        }
        _ => (fixup.address, None),
    };
    image.fixups().map(|fixup| entry(fixup.unwrap())).collect()
}

#[test]
fn the_opcodes_of_every_image_name_the_words_that_llvm_objdump_lists() {
    let made = Workshop::new();
    let mut compared = 0;
    for (path, bytes) in made.iter().flat_map(Workshop::images).chain(samples()) {
        let container = Container::parse(&bytes).unwrap();
        for image in container.images() {
            let image = image.unwrap();
            let is_chained = image.command(macho_sections::CommandKind::DYLD_CHAINED_FIXUPS);
            if image.header().cpu.is(Cpu::I386) {
                // llvm-objdump finds fault with repeated rebases of 32-bit words.
                lead_into_the_image(&image);
                continue;
            }
            let arch = format!("--arch={}", image.header().cpu);
            let tables: &[_] = match is_chained {
                Some(_) => &["--dyld-info"],
                None => &["--rebase", "--bind", "--lazy-bind", "--weak-bind"],
            };
            let arguments = [&["--macho", arch.as_str()], tables].concat();
            let Some(text) = output("llvm-objdump-19", &arguments, &path) else { return };
            assert_eq!(ours(&image), listed(&text), "{} {arch}", path.display());
            compared += image.fixups().count();
        }
    }
    // Each library of Rust alone has thousands.
    went_through(compared, 70_000, "words");
}

/// Every word that is rebased is in a section, and so is what it points to.
fn lead_into_the_image(image: &Image<'_>) {
    let mut rebased = 0;
    for fixup in image.fixups() {
        let fixup = fixup.unwrap();
        assert!(image.section_at(fixup.address).is_some());
        if let FixupTarget::Address(target) = fixup.target {
            assert!(image.section_at(target).is_some(), "{target:#x}");
            rebased += 1;
        }
    }
    assert!(rebased > 0 || image.header().kind == FileKind::OBJECT);
}

#[test]
fn every_word_among_the_variables_that_is_an_address_is_excluded() {
    let mut count = 0;
    for (path, bytes) in samples() {
        for image in Container::parse(&bytes).unwrap().images() {
            let image = image.unwrap();
            let writable = image.writable();
            assert_eq!(writable.unread, None, "{}", path.display());
            for fixup in image.fixups() {
                let address = fixup.unwrap().address;
                let place = writable.variables.partition_point(|it| it.end <= address);
                let next = writable.variables.get(place);
                assert!(next.is_none_or(|it| it.start > address), "{address:#x}");
                count += 1;
            }
        }
    }
    went_through(count, 70_000, "words");
}

#[test]
fn lazy_binds_are_of_lazy_pointers() {
    let mut count = 0;
    for (_, bytes) in samples() {
        for image in Container::parse(&bytes).unwrap().images() {
            let image = image.unwrap();
            for fixup in image.fixups() {
                let fixup = fixup.unwrap();
                if let FixupTarget::Symbol { binding: Binding::Lazy, .. } = fixup.target {
                    let section = image.section_at(fixup.address).unwrap();
                    assert_eq!(section.name, b"__la_symbol_ptr");
                    count += 1;
                }
            }
        }
    }
    went_through(count, 3500, "lazy binds");
}
