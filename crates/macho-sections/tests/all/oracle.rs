use std::path::{Path, PathBuf};

use macho_sections::oracle::{macho_parse, macho_resign};
use proptest::prelude::*;

use crate::maker::fixtures;

type Oracle = fn(&[u8]);

const TARGETS: [(&str, Oracle); 2] = [("macho_parse", macho_parse), ("macho_resign", macho_resign)];

fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions").join(target)
}

fn regressions(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory(target)).unwrap().map(Result::unwrap);
    let mut inputs: Vec<_> = entries
        .map(|it| (it.file_name().into_string().unwrap(), std::fs::read(it.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// The images written field by field are the fuzzer's seeds. `UPDATE_FIXTURES=1` writes them anew.
#[test]
fn the_seeds_are_the_images_that_are_made() {
    for (target, _) in TARGETS {
        for (name, bytes) in fixtures() {
            let path = directory(target).join(&name);
            if std::env::var_os("UPDATE_FIXTURES").is_some() {
                std::fs::create_dir_all(directory(target)).unwrap();
                std::fs::write(&path, &bytes).unwrap();
            }
            assert!(std::fs::read(&path).unwrap() == bytes, "{name}");
        }
    }
}

#[test]
fn regressions_keep_every_promise() {
    for (target, oracle) in TARGETS {
        for (name, bytes) in regressions(target) {
            println!("{target} {name}");
            oracle(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_damage_keeps_every_promise(
        which: prop::sample::Index,
        writes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..12),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let inputs = fixtures();
        let (_, mut bytes) = inputs[which.index(inputs.len())].clone();
        for (place, word) in writes {
            // Most fields are words that are aligned to their size.
            let start = place.index(bytes.len()) & !3;
            for (byte, new) in bytes.iter_mut().skip(start).zip(word) {
                *byte = new;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        macho_parse(&bytes);
        macho_resign(&bytes);
    }
}

/// Values that are likely to matter: small, near a limit, or anything.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..64_u64).prop_map(|small| small.to_le_bytes().to_vec()),
        (0..64_u64).prop_map(|small| (u64::MAX - small).to_le_bytes().to_vec()),
        (0..0x1000_u32).prop_map(|offset| offset.to_le_bytes().to_vec()),
        (0..0x1000_u32).prop_map(|offset| offset.to_be_bytes().to_vec()),
        (0..64_u32).prop_map(|bit| (1_u64 << bit).to_le_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..9),
    ]
}
