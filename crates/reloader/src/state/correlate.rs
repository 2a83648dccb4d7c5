//! Which symbol of one build is which of the next.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::discriminator::without_numbers;

/// What a symbol goes by: its name, and for one that is local to a file, the file.
pub(crate) trait Named {
    fn name(&self) -> &str;
    fn file(&self) -> Option<&str>;
}

/// Which of `old` is which of `new`, by index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Correlation {
    pub(crate) pairs: Vec<(usize, usize)>,
    /// Only in `new`.
    pub(crate) new: Vec<usize>,
    /// Only in `old`.
    pub(crate) dropped: Vec<usize>,
    /// In `old`, with several in `new` that it could be.
    pub(crate) ambiguous: Vec<usize>,
}

/// Matches symbols from the surest sign to the weakest, each only where it is unmistakable: name
/// and file; the name alone, for what moved to another file; the name without what the compiler
/// appends.
///
/// Compilers number the statics of functions (`count.0`, `count.1`) in an order of their own, which
/// means nothing in another build: where one file has several of a stem, none of them is matched.
/// Nor does what linkers number that optimise a whole program, with the first of a name going
/// without. C++ compilers number in the order of the source, so that one more or less moves the
/// others' numbers: where those of a function are not all as they were, none of them is matched.
pub(crate) fn correlate<T: Named>(old: &[T], new: &[T]) -> Correlation {
    let mut matching = Matching::new(old.len(), new.len());
    let groups = (count_by(old, group), count_by(new, group));
    let moved = moved(old, new);
    let renumbered = |symbol: &T| {
        let several =
            |groups: &HashMap<_, usize>| groups.get(&group(symbol)).is_some_and(|n| *n > 1);
        let numbered = stem(symbol.name()) != symbol.name() || is_linked_as_one(symbol.file());
        let several = several(&groups.0) || several(&groups.1);
        several && (numbered || moved.contains(&group(symbol)))
    };
    matching.by(old, new, |symbol| {
        (!renumbered(symbol)).then(|| (symbol.name().to_owned(), symbol.file().map(str::to_owned)))
    });
    matching.by(old, new, |symbol| (!renumbered(symbol)).then(|| symbol.name().to_owned()));
    matching.by(old, new, |symbol| Some(group(symbol)));
    matching.by(old, new, |symbol| Some(plain(symbol.name())));
    matching.finish(old, new)
}

fn group<T: Named>(symbol: &T) -> (String, Option<String>) {
    (plain(symbol.name()), symbol.file().map(str::to_owned))
}

/// The name without any of the compiler's numbers.
fn plain(name: &str) -> String {
    without_numbers(stem(name))
}

/// The groups in which not all names are as they were.
fn moved<T: Named>(old: &[T], new: &[T]) -> HashSet<(String, Option<String>)> {
    let (old, new) = (names_by_group(old), names_by_group(new));
    let groups = old.keys().chain(new.keys());
    groups.filter(|&group| old.get(group) != new.get(group)).cloned().collect()
}

fn names_by_group<T: Named>(symbols: &[T]) -> HashMap<(String, Option<String>), Vec<&str>> {
    let mut names: HashMap<_, Vec<&str>> = HashMap::new();
    for symbol in symbols {
        names.entry(group(symbol)).or_default().push(symbol.name());
    }
    names.values_mut().for_each(|names| names.sort_unstable());
    names
}

fn count_by<T, K: Hash + Eq>(symbols: &[T], key: impl Fn(&T) -> K) -> HashMap<K, usize> {
    let mut counts = HashMap::new();
    for symbol in symbols {
        *counts.entry(key(symbol)).or_default() += 1;
    }
    counts
}

struct Matching {
    pairs: Vec<(usize, usize)>,
    old: Vec<bool>,
    new: Vec<bool>,
}

impl Matching {
    fn new(old: usize, new: usize) -> Self {
        Self { pairs: Vec::new(), old: vec![false; old], new: vec![false; new] }
    }

    /// Pairs what is still single and has the same key, where no other has it on either side.
    fn by<T, K: Hash + Eq>(&mut self, old: &[T], new: &[T], key: impl Fn(&T) -> Option<K>) {
        let news = unmatched(new, &self.new, &key);
        for (key, index) in unmatched(old, &self.old, &key) {
            if let (Some(index), Some(Some(other))) = (index, news.get(&key)) {
                self.pairs.push((index, *other));
                self.old[index] = true;
                self.new[*other] = true;
            }
        }
    }

    fn finish<T: Named>(mut self, old: &[T], new: &[T]) -> Correlation {
        self.pairs.sort_unstable();
        let rest = |matched: &[bool]| -> Vec<usize> {
            (0..matched.len()).filter(|&index| !matched[index]).collect()
        };
        let new_rest = rest(&self.new);
        let stems = count_by(
            &new_rest.iter().map(|&index| plain(new[index].name())).collect::<Vec<_>>(),
            Clone::clone,
        );
        let (ambiguous, dropped) = rest(&self.old)
            .into_iter()
            .partition(|&index| stems.contains_key(&plain(old[index].name())));
        Correlation { pairs: self.pairs, new: new_rest, dropped, ambiguous }
    }
}

/// The unmatched symbols by their key; `None` where several share one.
fn unmatched<T, K: Hash + Eq>(
    symbols: &[T],
    matched: &[bool],
    key: impl Fn(&T) -> Option<K>,
) -> HashMap<K, Option<usize>> {
    let mut found = HashMap::new();
    for (index, symbol) in symbols.iter().enumerate().filter(|(index, _)| !matched[*index]) {
        if let Some(key) = key(symbol) {
            found.entry(key).and_modify(|index| *index = None).or_insert(Some(index));
        }
    }
    found
}

/// The name without what compilers append to tell symbols apart: `.123` of gcc and clang, what they
/// add to that when they optimise a whole program (`n.lto_priv.0`, `n.llvm.456`), and the
/// `17h<hash>E` that ends Rust's legacy mangling.
pub(crate) fn stem(name: &str) -> &str {
    let mut rest = name;
    while let Some((stem, number)) = rest.rsplit_once('.') {
        if stem.is_empty() || number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())
        {
            break;
        }
        rest = WHOLE_PROGRAM
            .iter()
            .find_map(|word| stem.strip_suffix(word).filter(|stem| !stem.is_empty()))
            .unwrap_or(stem);
    }
    if rest != name {
        return rest;
    }
    let hash = name.len().checked_sub(20).and_then(|at| Some((name.get(..at)?, name.get(at..)?)));
    match hash {
        Some((stem, hash))
            if name.starts_with("_ZN")
                && hash.starts_with("17h")
                && hash.ends_with('E')
                && hash[3..19].bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            stem
        }
        _ => name,
    }
}

/// What stands before the number where a whole program was optimised, by gcc and by clang.
const WHOLE_PROGRAM: [&str; 2] = [".lto_priv", ".llvm"];

/// Whether this stands for all the files of a program that was optimised as a whole: by gcc, by
/// clang.
pub(crate) fn is_linked_as_one(file: Option<&str>) -> bool {
    matches!(file, Some("" | "<artificial>" | "ld-temp.o"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Symbol(&'static str, Option<&'static str>);

    impl Named for Symbol {
        fn name(&self) -> &str {
            self.0
        }
        fn file(&self) -> Option<&str> {
            self.1
        }
    }

    fn names(old: &[Symbol], new: &[Symbol]) -> Vec<(&'static str, &'static str)> {
        let found = correlate(old, new);
        found.pairs.iter().map(|&(a, b)| (old[a].0, new[b].0)).collect()
    }

    #[test]
    fn order_does_not_matter() {
        let old = [Symbol("a", None), Symbol("b", None)];
        let new = [Symbol("b", None), Symbol("x", None), Symbol("a", None)];
        let found = correlate(&old, &new);
        assert_eq!(found.pairs, [(0, 2), (1, 0)]);
        assert_eq!(found.new, [1]);
    }

    #[test]
    fn the_same_name_in_two_files_is_two_variables() {
        let old = [Symbol("n", Some("a.c")), Symbol("n", Some("b.c"))];
        let new = [Symbol("n", Some("b.c")), Symbol("n", Some("a.c"))];
        assert_eq!(correlate(&old, &new).pairs, [(0, 1), (1, 0)]);
    }

    #[test]
    fn a_variable_that_moves_to_another_file_is_found_by_its_name() {
        let old = [Symbol("n", Some("a.c"))];
        let new = [Symbol("n", Some("b.c"))];
        assert_eq!(correlate(&old, &new).pairs, [(0, 0)]);
        let two = [Symbol("n", Some("b.c")), Symbol("n", Some("c.c"))];
        let found = correlate(&old, &two);
        assert_eq!((found.pairs.len(), found.ambiguous.len()), (0, 1));
    }

    #[test]
    fn renumbered_function_statics_are_never_swapped() {
        let old = [Symbol("n.0", Some("a.c")), Symbol("n.1", Some("a.c"))];
        let same = [Symbol("n.1", Some("a.c")), Symbol("n.0", Some("a.c"))];
        assert_eq!(correlate(&old, &same).ambiguous, [0, 1]);
        let more =
            [Symbol("n.0", Some("a.c")), Symbol("n.1", Some("a.c")), Symbol("n.2", Some("a.c"))];
        let found = correlate(&old, &more);
        assert_eq!((found.pairs.len(), found.ambiguous.len()), (0, 2));
        // One alone is found whatever its number.
        assert_eq!(
            names(&[Symbol("n.7", Some("a.c"))], &[Symbol("n.3", Some("a.c"))]),
            [("n.7", "n.3")]
        );
    }

    #[test]
    fn what_a_linker_numbers_is_never_swapped() {
        for file in [Some("<artificial>"), Some(""), Some("ld-temp.o")] {
            let all = ["n", "n.2", "n.lto_priv.0"].map(|name| Symbol(name, file));
            assert_eq!(correlate(&all, &all).ambiguous, [0, 1, 2]);
            assert_eq!(correlate(&all[..1], &all[..1]).pairs, [(0, 0)]);
        }
    }

    #[test]
    fn numbers_that_count_from_the_front_mean_nothing_once_one_is_more_or_less() {
        let file = Some("a.cpp");
        let blocks = ["_ZZ1fvE1c", "_ZZ1fvE1c_0", "_ZZ1fvE1c_1"].map(|name| Symbol(name, file));
        let lambdas = ["_ZZZ1fvENKUlvE_clEvE1c", "_ZZZ1fvENKUlvE0_clEvE1c"];
        let lambdas = [lambdas[0], lambdas[1], "_ZZZ1fvENKUlvE1_clEvE1c"];
        for all in [blocks, lambdas.map(|name| Symbol(name, file))] {
            let found = correlate(&all[..2], &all);
            assert_eq!((found.pairs.len(), found.ambiguous.len()), (0, 2));
            let found = correlate(&all, &all[..2]);
            assert_eq!((found.pairs.len(), found.ambiguous.len()), (0, 3));
            // One without a variable was put in front.
            let found = correlate(&all[..2], &all[1..]);
            assert_eq!((found.pairs.len(), found.ambiguous.len()), (0, 2));
            assert_eq!(correlate(&all, &all).pairs, [(0, 0), (1, 1), (2, 2)]);
            assert_eq!(correlate(&all[..1], &all[1..2]).pairs, [(0, 0)]);
        }
        let own = ["_ZZ1fvE3c_0", "_ZZ1fvE3c_1", "_ZZ1fvE3c_2"].map(|name| Symbol(name, file));
        assert_eq!(correlate(&own[1..], &own).pairs, [(0, 1), (1, 2)]);
    }

    #[test]
    fn what_the_compiler_appends_is_no_part_of_the_name() {
        assert_eq!(stem("count.12"), "count");
        assert_eq!(stem("count"), "count");
        assert_eq!(stem(".12"), ".12");
        assert_eq!(stem("f.cold"), "f.cold");
        assert_eq!(stem("_ZN5guest5STEPS17h0123456789abcdefE"), "_ZN5guest5STEPS");
        assert_eq!(
            stem("_ZN5guest5STEPS17h0123456789abcdexE"),
            "_ZN5guest5STEPS17h0123456789abcdexE"
        );
        assert_eq!(stem("17h0123456789abcdefE"), "17h0123456789abcdefE");
        assert_eq!(stem("é.1"), "é");
        assert_eq!(stem("n.lto_priv.0"), "n");
        assert_eq!(stem("n.1.lto_priv.12"), "n");
        assert_eq!(stem("n.llvm.1234567890"), "n");
        assert_eq!(stem("n.lto_priv"), "n.lto_priv");
        assert_eq!(stem("f.n.3"), "f.n");
    }
}
