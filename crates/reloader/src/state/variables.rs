//! The variables of a version's state.

use std::collections::HashSet;
use std::ops::Range;

use elf_sections::{Image, Symbol, SymbolKind};

use super::correlate::{Named, stem};
use super::debug_info::DebugInfo;
use super::scalar::Scalar;
use crate::contract::STATE_SECTION;

/// A variable of the state, or a part of it that has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// The source file of a variable that only that file can see.
    pub(crate) file: Option<String>,
    /// Its address in the image; in memory the load bias comes on top.
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// A whole section taken as one, because its variables have no names: it is carried only as it
    /// is.
    pub(crate) whole: bool,
    /// The word that tells whether the variable, a static of a C++ function, was constructed.
    pub(crate) constructed: Option<u64>,
}

impl Variable {
    /// What sort of number it is, if it is one and the debug information tells.
    pub(crate) fn scalar(&self, image: &Image<'_>) -> Option<Scalar> {
        DebugInfo::of(image)?.scalar(self.address, self.file.as_deref())
    }
}

impl Named for Variable {
    fn name(&self) -> &str {
        &self.name
    }
    fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

/// The state of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateMap {
    /// By address.
    pub(crate) variables: Vec<Variable>,
    /// The state sections, in the order of the image.
    pub(crate) sections: Vec<Range<u64>>,
    /// The sections of zero-initialised variables that are carried as well.
    pub(crate) untagged: Vec<Range<u64>>,
    /// The image has no section headers: whether it has state cannot be told.
    pub(crate) headerless: bool,
}

impl StateMap {
    /// Finds the state in an image that was checked.
    pub(crate) fn of(image: &Image<'_>, untagged_bss: bool) -> Self {
        let headerless = image.sections().is_empty();
        let mut sections = Vec::new();
        let mut untagged = Vec::new();
        let mut searched = Vec::new();
        for section in image.sections() {
            let state = section.name == STATE_SECTION.as_bytes();
            let bss = untagged_bss && section.name == b".bss";
            let flags = section.flags;
            let holds_variables = flags.is_allocated() && flags.is_writable() && !flags.is_tls();
            if (state || bss) && holds_variables && section.size > 0 {
                let range = section.range();
                searched.push((range.clone(), state));
                if state { &mut sections } else { &mut untagged }.push(range);
            }
        }
        let mut variables = Vec::new();
        if searched.is_empty() {
            return Self { variables, sections, untagged, headerless };
        }
        let mut guards = Vec::new();
        let full = image.symbols().next().is_some();
        let mut take = |symbol: &Symbol<'_>| {
            if symbol.kind != SymbolKind::Object || symbol.size == 0 || !symbol.is_defined() {
                return;
            }
            let name = String::from_utf8_lossy(symbol.name);
            if name.starts_with("_ZGV") {
                guards.push((name.into_owned(), symbol.address));
                return;
            }
            let fits = |(range, tagged): &&(Range<u64>, bool)| {
                let end = symbol.address.checked_add(symbol.size);
                range.contains(&symbol.address)
                    && end.is_some_and(|end| end <= range.end)
                    && (*tagged || !is_startup_code(&name))
            };
            if searched.iter().find(fits).is_some() {
                variables.push(Variable {
                    file: symbol.file.map(|file| String::from_utf8_lossy(file).into_owned()),
                    name: name.into_owned(),
                    address: symbol.address,
                    size: symbol.size,
                    whole: false,
                    constructed: None,
                });
            }
        };
        if full {
            image.symbols().for_each(|symbol| take(&symbol));
        } else {
            image.dynamic_symbols().for_each(|symbol| take(&symbol));
        }
        for variable in &mut variables {
            // `_ZZ1fvE1n` is guarded by `_ZGVZ1fvE1n` (Itanium C++ ABI, 5.1.5.1).
            variable.constructed = variable.name.strip_prefix("_Z").and_then(|name| {
                let guard = format!("_ZGV{name}");
                guards.iter().find(|(name, _)| *name == guard).map(|(_, address)| *address)
            });
        }
        name_by_owner(image, &mut variables);
        if !full {
            let unnamed: Vec<_> =
                sections.iter().filter_map(|section| unnamed(section, &variables)).collect();
            variables.extend(unnamed);
        }
        variables.sort_by_key(|variable| (variable.address, variable.size));
        variables.dedup_by(|later, first| later.address < first.address.saturating_add(first.size));
        Self { variables, sections, untagged, headerless }
    }
}

/// Gives numbered statics of functions names that mean the same in each build: `n.1` becomes
/// `f::n`.
///
/// Without debug information they keep their names; several of one stem in one file are then not
/// matched at all.
fn name_by_owner(image: &Image<'_>, variables: &mut [Variable]) {
    let is_numbered = |variable: &&mut Variable| stem(&variable.name) != variable.name;
    let numbered: HashSet<u64> =
        variables.iter_mut().filter(is_numbered).map(|variable| variable.address).collect();
    if numbered.is_empty() {
        return;
    }
    let files = variables.iter().filter_map(|variable| variable.file.as_deref()).collect();
    let owners =
        DebugInfo::of(image).map(|info| info.owners(&numbered, &files)).unwrap_or_default();
    for variable in variables.iter_mut().filter(is_numbered) {
        if let Some(owner) = owners.get(&variable.address) {
            variable.name = format!("{owner}::{}", stem(&variable.name));
        }
    }
}

/// A section of a stripped image, where no exported variable names a part of it.
fn unnamed(section: &Range<u64>, named: &[Variable]) -> Option<Variable> {
    let has_names = named.iter().any(|variable| section.contains(&variable.address));
    (!has_names).then(|| Variable {
        name: STATE_SECTION.to_owned(),
        file: None,
        address: section.start,
        size: section.end - section.start,
        whole: true,
        constructed: None,
    })
}

/// The compiler's own variables, which belong to one load of one image.
fn is_startup_code(name: &str) -> bool {
    matches!(stem(name), "completed" | "object" | "__dso_handle")
}
