//! What the fuzzer tries, and what it once found.

use std::fs;
use std::path::Path;

use build_info::oracle::{command_line_split, ninja_deps};
use proptest::prelude::*;

fn regressions(target: &str, oracle: fn(&[u8])) {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions").join(target);
    let entries: Vec<_> = fs::read_dir(directory).unwrap().collect();
    assert!(!entries.is_empty());
    for entry in entries {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        oracle(&fs::read(path).unwrap());
    }
}

#[test]
fn what_the_fuzzer_found_in_logs_stays_found() {
    regressions("ninja_deps", ninja_deps);
}

#[test]
fn what_the_fuzzer_found_in_command_lines_stays_found() {
    regressions("command_line_split", command_line_split);
}

/// Records that may be of a log, some of them damaged.
fn log() -> impl Strategy<Value = Vec<u8>> {
    let path = ("[a-z./]{1,9}", 0..4_u32).prop_map(|(path, number)| {
        let mut record = path.into_bytes();
        record.resize(record.len().next_multiple_of(4), 0);
        record.extend((!number).to_le_bytes());
        [((record.len() as u32).to_le_bytes()).to_vec(), record].concat()
    });
    let made = prop::collection::vec(0..4_u32, 1..7).prop_map(|words| {
        let size = (1_u32 << 31) | (words.len() as u32 * 4);
        let words = words.into_iter().flat_map(u32::to_le_bytes);
        size.to_le_bytes().into_iter().chain(words).collect()
    });
    let records = prop::collection::vec(prop_oneof![path, made], 0..6);
    (3..5_u8, records, prop::option::of((any::<prop::sample::Index>(), any::<u8>()))).prop_map(
        |(version, records, damage)| {
            let mut log = b"# ninjadeps\n".to_vec();
            log.extend([version, 0, 0, 0]);
            log.extend(records.concat());
            if let Some((at, byte)) = damage {
                let at = at.index(log.len());
                log[at] = byte;
            }
            log
        },
    )
}

proptest! {
    #[test]
    fn promises_hold_for_logs(bytes in log()) {
        ninja_deps(&bytes);
    }

    #[test]
    fn promises_hold_for_texts_of_build_systems(
        lines in prop::collection::vec(prop::sample::select(vec![
            "rule r", "  command = c $in $out $$ $v", "  depfile = $out.d", "  deps = gcc", "v = x y$z",
            "build a.o | b.o: r ../a.c | x.h || y", "build a.o: r a$ b.c", "include sub", "builddir = $v",
            "a.o: a.c x.h\\", " y\\ z.h", "cc -c a.c -o a.o && :", "ar qc lib.a a.o", "a.c", "../a.c",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"src_path\":\"a.c\"},\"filenames\":[\"t/liba.rlib\"]}",
            "make[1]: Entering directory '/s'", "make[1]: Leaving directory '/s'", "cd s && g++ -c a.c \\",
            "   Running `X=1 rustc a.c -o a`", "#", "$", "",
        ]), 0..12),
    ) {
        ninja_deps(lines.join("\n").as_bytes());
    }

    #[test]
    fn promises_hold_for_command_lines(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "a", " ", "\t", "\n", "\"", "\"\"", "\\", "\\\\", "'", "@x", "é", "/", "..", ".", "c:", "//",
        ]), 0..20),
        bytes: Vec<u8>,
    ) {
        command_line_split(pieces.concat().as_bytes());
        command_line_split(&bytes);
    }
}
