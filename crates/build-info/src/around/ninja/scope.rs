//! Ninja's variables: where they are looked for, and what `$` means in a text.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::TextError;

/// What stands in one file, or in the whole of what includes each other.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) variables: HashMap<String, String>,
    /// The variables of a rule as they are written: they are replaced at each use.
    pub(super) rules: HashMap<String, Rc<HashMap<String, String>>>,
    /// The scope of the file that named this one.
    pub(super) parent: Option<usize>,
}

/// All scopes, and how much may still be written by replacing variables.
#[derive(Debug)]
pub(super) struct Scopes {
    pub(super) all: Vec<Scope>,
    pub(super) budget: usize,
}

impl Scopes {
    /// The value of a variable of a file or of those that named it.
    pub(super) fn value(&self, scope: usize, name: &str) -> Option<&str> {
        self.chain(scope).find_map(|scope| scope.variables.get(name)).map(String::as_str)
    }

    /// A rule of a file or of those that named it.
    pub(super) fn rule(&self, scope: usize, name: &str) -> Option<&Rc<HashMap<String, String>>> {
        self.chain(scope).find_map(|scope| scope.rules.get(name))
    }

    fn chain(&self, scope: usize) -> impl Iterator<Item = &Scope> {
        std::iter::successors(self.all.get(scope), |scope| self.all.get(scope.parent?))
    }

    /// A text with the variables of a scope in place of their names.
    pub(super) fn replaced(&mut self, scope: usize, text: &str) -> Result<String, Trouble> {
        let mut replaced = String::new();
        let mut budget = self.budget;
        let result = replace(text, &mut |piece| {
            let text = match piece {
                Piece::Text(text) => text,
                Piece::Variable(name) => self.value(scope, name).unwrap_or_default(),
            };
            spend(&mut budget, text)?;
            replaced.push_str(text);
            Ok(())
        });
        self.budget = budget;
        result.map(|()| replaced)
    }
}

/// Takes what a text costs; an empty one is not for nothing, so that many come to an end soon.
pub(super) fn spend(budget: &mut usize, text: &str) -> Result<(), Trouble> {
    let cost = text.len().saturating_add(PIECE);
    *budget = budget.checked_sub(cost).ok_or(Trouble::Budget)?;
    Ok(())
}

/// What a piece costs besides its letters.
const PIECE: usize = 16;

/// A piece of a text.
pub(super) enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A `$` before something that has no meaning there.
    Escape,
    /// Variables make more of the manifest than is plausible.
    Budget,
    /// A rule's variable is made of itself.
    Cycle,
}

impl Trouble {
    pub(super) fn at(self, line: usize) -> TextError {
        let what = match self {
            Self::Escape => "a $ before something that it gives no meaning to",
            Self::Budget => "variables make too much of the text",
            Self::Cycle => "a variable that is made of itself",
        };
        TextError { structure: "build.ninja", line, what: what.to_owned() }
    }
}

/// Hands over the pieces of a text in their order.
pub(super) fn replace<'a>(
    text: &'a str,
    take: &mut dyn FnMut(Piece<'a>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        take(Piece::Text(before))?;
        let first = after.chars().next().ok_or(Trouble::Escape)?;
        let tail = after.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            '$' | ' ' | ':' | '|' | '^' => {
                let meant = if first == '^' { "\n" } else { after.get(..1).unwrap_or_default() };
                take(Piece::Text(meant))?;
                tail
            }
            '\n' => tail.trim_start_matches(' '),
            '\r' if tail.starts_with('\n') => tail.trim_start_matches('\n').trim_start_matches(' '),
            '{' => {
                let (name, tail) = tail.split_once('}').ok_or(Trouble::Escape)?;
                if name.is_empty() || !name.chars().all(|char| is_name(char) || char == '.') {
                    return Err(Trouble::Escape);
                }
                take(Piece::Variable(name))?;
                tail
            }
            _ => {
                let end = after.find(|char| !is_name(char)).unwrap_or(after.len());
                let (name, tail) = after.split_at_checked(end).ok_or(Trouble::Escape)?;
                if name.is_empty() {
                    return Err(Trouble::Escape);
                }
                take(Piece::Variable(name))?;
                tail
            }
        };
    }
    take(Piece::Text(rest))
}

/// What a name of a variable after a bare `$` is made of.
pub(super) fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}
