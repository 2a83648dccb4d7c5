use std::path::Path;

use pe_patch::oracle::{pe_parse, pe_patch};
use proptest::prelude::*;

use crate::maker::fixtures;

#[test]
fn fixtures_and_regressions_keep_every_promise() {
    for (name, bytes) in fixtures() {
        eprintln!("{name}");
        pe_parse(&bytes);
        pe_patch(&bytes);
    }
    for (name, bytes) in regressions() {
        eprintln!("{name}");
        pe_parse(&bytes);
        pe_patch(&bytes);
    }
}

#[test]
fn every_prefix_keeps_every_promise_and_is_incomplete_while_headers_are_missing() {
    for (name, bytes) in fixtures() {
        let headers = bytes.len().min(0x200);
        for end in 0..bytes.len() {
            let prefix = &bytes[..end];
            pe_parse(prefix);
            if end < headers || end % 16 == 1 {
                pe_patch(prefix);
            }
            if let Err(error) = pe_patch::Image::parse(prefix) {
                assert!(error.is_incomplete(), "{name}, {end}: {error}");
            }
        }
    }
}

/// Of the 255 other values of every byte two are tried: all its bits turned over, and one of them,
/// which goes by its place. Bytes far from any other than zero are padding; they are planned with
/// for the first of the two values alone, and read with both.
#[test]
fn every_single_changed_byte_of_the_fixtures_keeps_every_promise() {
    for (name, mut bytes) in fixtures() {
        eprintln!("{name}");
        for index in 0..bytes.len() {
            let old = bytes[index];
            let around = index.saturating_sub(32)..(index + 32).min(bytes.len());
            let is_padding = bytes[around].iter().all(|&byte| byte == 0);
            bytes[index] = !old;
            pe_parse(&bytes);
            pe_patch(&bytes);
            bytes[index] = old ^ (1 << (index % 8));
            pe_parse(&bytes);
            if !is_padding {
                pe_patch(&bytes);
            }
            bytes[index] = old;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_damage_keeps_every_promise(
        which: prop::sample::Index,
        writes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..8),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let inputs = fixtures();
        let (_, mut bytes) = inputs[which.index(inputs.len())].clone();
        for (place, word) in writes {
            // Headers and debug directories are where it matters, and fields are aligned.
            let span = if word.len() == 2 { bytes.len() } else { bytes.len().min(0x680) };
            let start = place.index(span) & !3;
            for (byte, new) in bytes.iter_mut().skip(start).zip(word) {
                *byte = new;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        pe_parse(&bytes);
        pe_patch(&bytes);
    }
}

/// Values that are likely to matter: offsets and addresses of these images, limits, or anything.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..64_u32).prop_map(|small| small.to_le_bytes().to_vec()),
        (0..64_u32).prop_map(|small| (u32::MAX - small).to_le_bytes().to_vec()),
        (0..0x1000_u32).prop_map(|offset| offset.to_le_bytes().to_vec()),
        (0..0x80_u32).prop_map(|page| (page * 0x100).to_le_bytes().to_vec()),
        (0..32_u32).prop_map(|bit| (1_u32 << bit).to_le_bytes().to_vec()),
        any::<u16>().prop_map(|half| half.to_le_bytes().to_vec()),
    ]
}

fn regressions() -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    for target in ["pe_parse", "pe_patch"] {
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions").join(target);
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            inputs.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    inputs.sort();
    inputs
}
