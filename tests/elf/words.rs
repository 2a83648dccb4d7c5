use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The README's table has each word that a crate excludes by, in the column of its format, and no
/// other.
#[test]
fn one_table_has_the_reasons_of_all_three_formats() {
    let text = include_str!("../../crates/elf-sections/README.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells.len() == 4)
        .collect();
    let column = |number: usize| -> BTreeSet<&str> {
        let rows = rows.iter().filter(|cells| cells[number] != "-");
        rows.map(|cells| cells[0].trim_matches('`')).collect()
    };
    for (number, source) in [
        (1, include_str!("../../crates/elf-sections/src/writable.rs")),
        (2, include_str!("../../crates/macho-sections/src/writable.rs")),
        (3, include_str!("../../crates/pe-patch/src/writable.rs")),
    ] {
        assert_eq!(column(number), words(source), "column {number}");
    }
}

/// The words of `Reason::as_str`. The compiler sees to it that each reason has one; that none is
/// overlooked here, the definition of the type does.
fn words(source: &str) -> BTreeSet<&str> {
    let arms = source.lines().filter_map(|line| {
        let (name, word) = line.trim().strip_prefix("Reason::")?.split_once(" => \"")?;
        Some((name, word.strip_suffix("\",")?))
    });
    let words: BTreeMap<&str, &str> = arms.collect();
    let (_, definition) = source.split_once("pub enum Reason {").unwrap();
    let (definition, _) = definition.split_once("\n}").unwrap();
    let lines = definition.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let reasons: BTreeSet<&str> = lines.filter_map(|line| line.strip_suffix(',')).collect();
    assert!(reasons.len() > 5 && words.keys().copied().eq(reasons), "{words:?}");
    words.into_values().collect()
}

/// Both crates deny `unsafe` as a whole. It is allowed again below `sys`, and in what the macro for
/// guests becomes in theirs.
#[test]
fn unsafe_code_is_allowed_in_sys_alone() {
    let mut allowed = 0;
    for name in ["elf-sections", "macho-sections"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src");
        let whole = std::fs::read_to_string(source.join("lib.rs")).unwrap();
        let of_unsafe: Vec<&str> =
            whole.lines().filter(|line| line.contains("unsafe_code")).collect();
        assert_eq!(of_unsafe, ["#![deny(unsafe_code)]"], "{name}");
        let mut directories = vec![source.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let inside = path.strip_prefix(&source).unwrap();
                let may = inside.starts_with("sys") || inside == Path::new("guest.rs");
                let does = text.contains("unsafe_code") && inside != Path::new("lib.rs");
                assert!(may || !does, "{}", path.display());
                allowed += usize::from(does);
            }
        }
    }
    assert!(allowed >= 4, "{allowed}");
}
