//! The variables of a version's state.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::Hasher;
use std::ops::Range;

use elf_sections::{Binding, Image, Note, Symbol, SymbolKind};

use super::correlate::{Correlation, Named, correlate, is_linked_as_one, stem};
use super::debug_info::{DebugInfo, Home, Sort};
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
    /// What it is, if the debug information tells.
    pub(crate) fn sort(&self, image: &Image<'_>) -> Option<Sort> {
        DebugInfo::of(image)?.sort(self.address, self.file.as_deref())
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
    /// What tells the build from every other, where the names of its variables do not mean the same
    /// in each.
    pub(crate) content: Option<u64>,
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
            return Self { variables, sections, untagged, headerless, content: None };
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
                    file: file_of(symbol),
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
        name_by_home(image, &mut variables);
        variables.sort_by_key(|variable| (variable.address, variable.size));
        variables.dedup_by(|later, first| later.address < first.address.saturating_add(first.size));
        if !full {
            for section in &sections {
                if is_named(section, &variables) {
                    continue;
                }
                variables.retain(|variable| !section.contains(&variable.address));
                variables.push(whole(section));
            }
            variables.sort_by_key(|variable| variable.address);
        }
        let content = has_mere_numbers(&variables).then(|| content_of(image));
        Self { variables, sections, untagged, headerless, content }
    }
}

/// Which variables of one build are which of another, whose contents are what [`StateMap::content`]
/// says.
pub(super) fn matched(
    old: (&[Variable], Option<u64>),
    new: (&[Variable], Option<u64>),
) -> Correlation {
    if old.1.is_none() || old.1 != new.1 {
        return correlate(old.0, new.0);
    }
    // The same code uses the same places.
    let places: HashMap<(u64, u64), usize> =
        new.0.iter().enumerate().map(|(index, it)| ((it.address, it.size), index)).collect();
    let mut found = Correlation::default();
    for (index, variable) in old.0.iter().enumerate() {
        match places.get(&(variable.address, variable.size)) {
            Some(&place) => found.pairs.push((index, place)),
            None => found.dropped.push(index),
        }
    }
    let taken: HashSet<usize> = found.pairs.iter().map(|(_, place)| *place).collect();
    found.new = (0..new.0.len()).filter(|index| !taken.contains(index)).collect();
    found
}

/// Gives what the compiler or the linker has numbered names that mean the same in each build: `n.1`
/// becomes `f::n`, and after optimisation at link time `n.lto_priv.1` becomes `n` of its file.
///
/// Without debug information they keep their names; several of one stem in one file are then not
/// matched at all.
fn name_by_home(image: &Image<'_>, variables: &mut [Variable]) {
    let is_wanted =
        |variable: &&mut Variable| is_numbered(variable) || is_linked_as_one(variable.file());
    let wanted: HashSet<u64> =
        variables.iter_mut().filter(is_wanted).map(|variable| variable.address).collect();
    if wanted.is_empty() {
        return;
    }
    let Some(info) = DebugInfo::of(image) else { return };
    let files: HashSet<&str> = variables
        .iter()
        .filter(|it| wanted.contains(&it.address))
        .filter_map(Named::file)
        .collect();
    let any = files.iter().any(|file| is_linked_as_one(Some(file)));
    let homes = info.homes(&wanted, (!any).then_some(&files));
    for variable in variables.iter_mut() {
        let Some(Home { function, file }) = homes.get(&variable.address) else { continue };
        let linked_as_one = is_linked_as_one(variable.file());
        if is_numbered(variable) {
            let name = stem(&variable.name);
            match function {
                // clang calls it `f.n`, and numbers only what would have the same name.
                Some(function) => {
                    let own = name.strip_prefix(function.as_str());
                    let own = own.and_then(|rest| rest.strip_prefix('.'));
                    variable.name = match own {
                        Some(_) => name.to_owned(),
                        None => format!("{function}::{name}"),
                    };
                }
                None if linked_as_one => variable.name = name.to_owned(),
                None => {}
            }
        }
        if linked_as_one && file.is_some() {
            variable.file.clone_from(file);
        }
    }
}

fn is_numbered(variable: &Variable) -> bool {
    stem(&variable.name) != variable.name
}

/// Whether some variables of one file differ by nothing but a number.
fn has_mere_numbers(variables: &[Variable]) -> bool {
    let mut seen = HashMap::new();
    for variable in variables {
        let unsure = is_numbered(variable) || is_linked_as_one(variable.file());
        let (count, any) =
            seen.entry((stem(&variable.name), variable.file())).or_insert((0, false));
        *count += 1;
        *any |= unsure;
        if *count > 1 && *any {
            return true;
        }
    }
    false
}

/// What is loaded of an image, without what differs between builds of the same: the build-id, and
/// the header, which says where the debug information lies.
fn content_of(image: &Image<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let build_id = image.notes().find(Note::is_build_id);
    let build_id = build_id
        .map_or(0..0, |note| note.offset..note.offset.saturating_add(note.descriptor.len() as u64));
    for segment in image.segments().iter().filter(|segment| segment.is_load()) {
        hasher.write_u64(segment.range().start);
        hasher.write_u64(segment.range().end);
        let file = segment.offset..segment.offset.saturating_add(segment.file_size);
        let pieces = [
            file.start.max(HEADER)..file.end.min(build_id.start.max(HEADER)),
            file.start.max(HEADER).max(build_id.end)..file.end,
        ];
        for piece in pieces {
            let bytes = usize::try_from(piece.start).ok().zip(usize::try_from(piece.end).ok());
            let bytes = bytes.and_then(|(start, end)| image.data().get(start..end));
            hasher.write(bytes.unwrap_or_default());
        }
    }
    hasher.finish()
}

/// The size of the longer of the two headers that images start with.
const HEADER: u64 = 64;

/// Whether the exported variables of a stripped image are all that a section has. What lies between
/// them may be others, which had names once.
fn is_named(section: &Range<u64>, named: &[Variable]) -> bool {
    let inside = named.iter().filter(|variable| section.contains(&variable.address));
    inside.map(|variable| variable.size).sum::<u64>() == section.end - section.start
}

fn whole(section: &Range<u64>) -> Variable {
    Variable {
        name: STATE_SECTION.to_owned(),
        file: None,
        address: section.start,
        size: section.end - section.start,
        whole: true,
        constructed: None,
    }
}

/// The file of a variable that only that file can see: without a name, where the linker's
/// optimiser made one of all.
fn file_of(symbol: &Symbol<'_>) -> Option<String> {
    let file = symbol.file.or((symbol.binding == Binding::Local).then_some(b""));
    file.map(|file| String::from_utf8_lossy(file).into_owned())
}

/// The compiler's own variables, which belong to one load of one image.
fn is_startup_code(name: &str) -> bool {
    matches!(stem(name), "completed" | "object" | "__dso_handle")
}
