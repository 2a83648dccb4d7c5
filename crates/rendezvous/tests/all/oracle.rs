use std::path::Path;

use proptest::prelude::*;
use rendezvous::System;
use rendezvous::oracle::rendezvous_walk;

use crate::paper::{DT_DEBUG, DT_MIPS_RLD_MAP_REL, EM_MIPS, LAYOUTS, Nodes, Paper};

#[test]
fn regressions_keep_every_promise() {
    let inputs = regressions();
    assert!(!inputs.is_empty());
    for (name, bytes) in inputs {
        eprintln!("{name}");
        rendezvous_walk(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn random_damage_keeps_every_promise(
        which: prop::sample::Index,
        writes in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..12),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let inputs = good();
        let mut bytes = inputs[which.index(inputs.len())].clone();
        for (place, word) in writes {
            // Most fields are words that are aligned to their size.
            let start = place.index(bytes.len()) & !3;
            for (byte, new) in bytes.iter_mut().skip(start + 2).zip(word) {
                *byte = new;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        rendezvous_walk(&bytes);
    }
}

/// Targets with nothing wrong.
fn good() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for layout in LAYOUTS {
        let (paper, _) = Paper::simple(layout, &["", "/lib/a.so", "b"]);
        inputs.extend([paper.to_input(), paper.to_core()]);
        let mut paper = Paper::new(layout);
        let second = paper.list(Nodes::SystemV, &["c", "d"]);
        let second = paper.head(2, second[0], 0, 0);
        let first = paper.list(Nodes::SystemV, &["", "a"]);
        let first = paper.head(2, first[0], 0, second);
        let pointer = paper.put_words(&[first]);
        let dynamic = paper.program(EM_MIPS, &[(DT_MIPS_RLD_MAP_REL, 0)]);
        paper.set_nth(dynamic, 1, layout.subtract(pointer, dynamic));
        inputs.push(paper.to_input());
        let mut paper = Paper::new(layout);
        paper.startup.system = System::FreeBsd;
        paper.startup.auxv.freebsd_release = Some(1_300_000);
        let list = paper.list(Nodes::FreeBsd13, &["/bin/main", "/lib/a.so"]);
        let head = paper.head(1, list[0], 0, 0);
        paper.program(62, &[(DT_DEBUG, head)]);
        inputs.push(paper.to_input());
    }
    inputs
}

fn regressions() -> Vec<(String, Vec<u8>)> {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions/rendezvous_walk");
    if std::env::var_os("RENDEZVOUS_WRITE_REGRESSIONS").is_some() {
        std::fs::create_dir_all(&directory).unwrap();
        for (index, input) in good().iter().enumerate() {
            std::fs::write(directory.join(format!("good-{index}")), input).unwrap();
        }
    }
    let mut inputs: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

/// Values that are likely to matter: small, an address, near a limit, or anything.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..64_u64).prop_map(|small| small.to_le_bytes().to_vec()),
        (0..64_u64).prop_map(|small| (u64::MAX - small).to_be_bytes().to_vec()),
        (0x1_0000..0x1_0800_u32).prop_map(|address| address.to_le_bytes().to_vec()),
        (0x1_0000..0x1_0800_u32).prop_map(|address| address.to_be_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..9),
    ]
}
