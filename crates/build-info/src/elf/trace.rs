//! What compilers and linkers leave in an image besides debug information.

use super::image::Image;
use crate::dwarf::{Options, producer};
use crate::{BuildInfo, Linker};

/// The linker, if `.comment` names it: lld and mold do, GNU's two do not.
pub(crate) fn linker(image: &Image<'_>) -> Option<Linker> {
    let producer = strings(image, ".comment").into_iter().find_map(|line| {
        let is_mold = line.starts_with("mold ");
        let lld = line.strip_prefix("Linker: ").map(str::to_owned);
        lld.or_else(|| is_mold.then_some(line))
    })?;
    Some(Linker { producer: Some(producer), ..Linker::default() })
}

/// Gives the commands in `.GCC.command.line` to the units that they name.
///
/// The linker merges what compilers wrote, and sorts it. Clang's are whole command lines, and belong
/// to the unit whose source they name. GCC's are some options, and belong to the units of the same
/// producer if that recorded no others.
pub(crate) fn commands(image: &Image<'_>, info: &mut BuildInfo) {
    let lines = strings(image, ".GCC.command.line");
    let (partial, whole): (Vec<_>, Vec<_>) =
        lines.iter().map(String::as_str).partition(|line| line.starts_with("GNU "));
    // Looking through all of them for each unit is bounded by this.
    let mut left = 64_u64 << 20;
    let mut unclear = 0_u32;
    for unit in info.units.iter_mut().filter(|unit| unit.command.is_none()) {
        let Some(source) = unit.source.as_ref().map(|source| escaped(&source.value)) else {
            continue;
        };
        let producer = unit.producer.as_deref().unwrap_or_default();
        let is_gcc = producer.starts_with("GNU ");
        let lines = if is_gcc { &partial } else { &whole };
        let mut candidates = lines.iter().filter(|line| {
            left = left.saturating_sub(line.len() as u64);
            let names =
                if is_gcc { line.starts_with(producer) } else { contains_word(line, &source) };
            left > 0 && names
        });
        match (candidates.next(), candidates.next()) {
            (Some(line), None) if is_gcc => {
                producer::take(unit, producer::Producer::parse(line).command);
            }
            (Some(command), None) => producer::take(unit, Some(Options::Whole { command })),
            (Some(_), Some(_)) => unclear = unclear.saturating_add(1),
            (None, _) => {}
        }
    }
    if unclear > 0 {
        info.remarks.push(format!(
            "{unclear} units have a source that several commands in .GCC.command.line name: theirs \
             are not told apart"
        ));
    }
}

fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).is_none_or(|before| before.is_empty() || before.ends_with(' '));
        let behind = line.get(at..).and_then(|rest| rest.strip_prefix(word));
        before && behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(' '))
    })
}

/// A word as LLVM records it.
fn escaped(word: &str) -> String {
    let mut escaped = String::new();
    for letter in word.chars() {
        if matches!(letter, ' ' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// The strings that a section consists of, as far as 1 MB of it goes.
fn strings(image: &Image<'_>, name: &'static str) -> Vec<String> {
    let Ok(mut section) = image.section(name) else { return Vec::new() };
    let bytes = section.window(0, 1 << 20).unwrap_or_default();
    bytes
        .split(|&byte| byte == 0)
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}
