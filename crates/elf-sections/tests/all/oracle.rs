use elf_sections::oracle::{elf_parse, elf_plan};
use proptest::prelude::*;

use crate::support::{Workshop, guests, regressions};

fn keeps_every_promise(bytes: &[u8]) {
    elf_parse(bytes);
    elf_plan(bytes);
}

#[test]
fn regressions_keep_every_promise() {
    let inputs = regressions();
    assert!(!inputs.is_empty());
    for (name, bytes) in inputs {
        eprintln!("{name}");
        keeps_every_promise(&bytes);
    }
}

#[test]
fn guests_and_this_program_keep_every_promise() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &[]) {
        eprintln!("{name}");
        keeps_every_promise(&bytes);
    }
    keeps_every_promise(&std::fs::read(std::env::current_exe().unwrap()).unwrap());
}

#[test]
fn every_single_changed_byte_of_the_fixtures_keeps_every_promise() {
    let mut small = regressions();
    small.retain(|(_, bytes)| bytes.len() <= 4096);
    assert!(small.len() > 8, "{}", small.len());
    println!("{} of them are small", small.len());
    for (name, mut bytes) in small {
        eprintln!("{name}");
        for index in 0..bytes.len() {
            let old = bytes[index];
            for new in [0, 0xff, old ^ 1] {
                bytes[index] = new;
                elf_parse(&bytes);
            }
            // Plans take longer; the fuzzer sees to the rest.
            if index % 8 == 0 {
                elf_plan(&bytes);
            }
            bytes[index] = old;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_damage_keeps_every_promise(
        which: prop::sample::Index,
        writes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let inputs = regressions();
        let (_, mut bytes) = inputs[which.index(inputs.len())].clone();
        for (place, word) in writes {
            // Most fields are words that are aligned to their size.
            let start = place.index(bytes.len().max(1)) & !3;
            for (byte, new) in bytes.iter_mut().skip(start).zip(word) {
                *byte = new;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len().max(1)));
        }
        keeps_every_promise(&bytes);
    }
}

/// Values that are likely to matter: small, near a limit, or anything.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..64_u64).prop_map(|small| small.to_le_bytes().to_vec()),
        (0..64_u64).prop_map(|small| (u64::MAX - small).to_le_bytes().to_vec()),
        (0..0x4000_u32).prop_map(|offset| offset.to_le_bytes().to_vec()),
        (0..0x4000_u32).prop_map(|offset| offset.to_be_bytes().to_vec()),
        (0..64_u32).prop_map(|bit| (1_u64 << bit).to_le_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..9),
    ]
}
