use std::collections::BTreeSet;
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
    let elf = {
        use elf_sections::Reason::*;
        [
            NotMapped,
            ReadOnly,
            ThreadLocal,
            Headers,
            DynamicTable,
            Got,
            Initializers,
            TransactionalMemoryTable,
            UnwindTable,
            CopyRelocated,
            ReadOnlyAfterRelocation,
            LoaderData,
            RelocatedWord,
            Padding,
        ]
        .map(elf_sections::Reason::as_str)
    };
    let macho = {
        use macho_sections::Reason::*;
        [
            ReadOnly,
            ReadOnlyAfterRelocation,
            Got,
            LazyBinding,
            Initializers,
            RelocatedWord,
            ThreadLocal,
            LoaderData,
            NotMapped,
            Padding,
        ]
        .map(macho_sections::Reason::as_str)
    };
    let pe = {
        use pe_patch::Reason::*;
        [ReadOnly, Got, ThreadLocal, Initializers, LoaderTable, LoaderData, RelocatedWord]
            .map(pe_patch::Reason::as_str)
    };
    for (number, words) in [(1, &elf[..]), (2, &macho), (3, &pe)] {
        assert_eq!(column(number), words.iter().copied().collect(), "column {number}");
    }
}

/// Both crates deny `unsafe` as a whole. It is allowed again below `sys`, and in what the macro for
/// guests becomes in theirs.
#[test]
fn unsafe_code_is_allowed_in_sys_alone() {
    let mut allowed = 0;
    for name in ["elf-sections", "macho-sections"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src");
        let whole = std::fs::read_to_string(source.join("lib.rs")).unwrap();
        assert!(whole.contains("#![deny(unsafe_code)]"), "{name}");
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
                let does =
                    text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
                assert!(may || !does, "{}", path.display());
                allowed += usize::from(does);
            }
        }
    }
    assert!(allowed >= 4, "{allowed}");
}
