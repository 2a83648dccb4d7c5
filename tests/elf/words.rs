use std::collections::BTreeSet;

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
