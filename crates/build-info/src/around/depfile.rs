//! Dependency files, in the syntax of make that compilers use.

use std::sync::Arc;

use super::{Step, options};
use crate::Provenance;

/// What a dependency file says: those that compilers write (`-MD`), and those of rustc and cargo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depfile {
    /// The rules, but for those without prerequisites, which say nothing (`-MP`).
    pub rules: Vec<Rule>,
    /// Whether it has more rules than any tool writes: those behind the first 65,536 are left out.
    pub is_cut: bool,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What is made.
    pub targets: Vec<String>,
    /// What it is made from.
    pub prerequisites: Vec<String>,
}

impl Depfile {
    /// Takes a dependency file apart. It never fails: what is no rule is left out.
    ///
    /// Blanks in names are escaped with a backslash, `#` too, `$` is doubled. Any other backslash
    /// is the name's own, so that paths of Windows are themselves. A colon ends the targets if a
    /// blank follows, or the line's end. Two rules for the same targets are one.
    ///
    /// ```
    /// let file = build_info::around::Depfile::parse(b"a.o: a\\ b.c C:\\x.h \\\n y.h\ny.h:\n");
    /// assert_eq!(file.rules.len(), 1);
    /// assert_eq!(file.rules[0].prerequisites, ["a b.c", "C:\\x.h", "y.h"]);
    /// ```
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut file = Self::default();
        let mut words = Words { rest: &text };
        let mut rule = Rule::default();
        let mut after_colon = false;
        while let Some(word) = words.next() {
            match word {
                Word::Name(name) if after_colon => rule.prerequisites.push(name),
                Word::Name(name) => rule.targets.push(name),
                Word::Colon => after_colon = true,
                Word::End => {
                    file.add(std::mem::take(&mut rule), after_colon);
                    after_colon = false;
                }
            }
        }
        file.add(rule, after_colon);
        file
    }

    /// The rules as steps; relative paths start from a directory that the file does not say.
    pub fn steps(self, provenance: Provenance) -> impl Iterator<Item = Step> {
        self.rules.into_iter().map(move |rule| {
            let mut sources = rule.prerequisites.iter().filter(|path| options::is_source(path));
            let source = sources.next().or(rule.prerequisites.first()).cloned();
            Step {
                directory: None,
                source,
                outputs: rule.targets,
                command: None,
                inputs: Some(rule.prerequisites.into_iter().map(Arc::from).collect()),
                provenance,
            }
        })
    }

    fn add(&mut self, rule: Rule, after_colon: bool) {
        if !after_colon || rule.targets.is_empty() || rule.prerequisites.is_empty() {
            return;
        }
        let is_full = self.rules.len() >= MOST_RULES;
        match self.rules.last_mut() {
            Some(last) if last.targets == rule.targets => {
                last.prerequisites.extend(rule.prerequisites);
            }
            _ if is_full => self.is_cut = true,
            _ => self.rules.push(rule),
        }
    }
}

struct Words<'a> {
    rest: &'a str,
}

enum Word {
    Name(String),
    Colon,
    End,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Word> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            match continued(self.rest) {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        if self.rest.starts_with('#') {
            self.rest = self.rest.find('\n').and_then(|at| self.rest.get(at..)).unwrap_or_default();
        }
        let first = self.rest.chars().next()?;
        if first == '\n' || first == '\r' {
            self.rest = self.rest.trim_start_matches(['\n', '\r']);
            return Some(Word::End);
        }
        if self.ends_targets() {
            self.rest = self.rest.get(1..).unwrap_or_default();
            return Some(Word::Colon);
        }
        Some(Word::Name(self.name()))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while !self.ends_targets() && continued(self.rest).is_none() {
            let mut chars = self.rest.chars();
            let Some(char) = chars.next() else { break };
            match char {
                ' ' | '\t' | '\n' | '\r' => break,
                '\\' => {
                    // Before a blank two backslashes are one, and one more escapes the blank.
                    let count = self.rest.chars().take_while(|&char| char == '\\').count();
                    let after = self.rest.get(count..).unwrap_or_default();
                    let is_odd = count % 2 == 1;
                    let (kept, taken) = match after.chars().next() {
                        Some(blank @ (' ' | '\t' | '#')) => (count / 2, is_odd.then_some(blank)),
                        Some(':') if is_odd => (count / 2, Some(':')),
                        _ => (count, None),
                    };
                    name.extend(std::iter::repeat_n('\\', kept));
                    self.rest = after;
                    if let Some(escaped) = taken {
                        name.push(escaped);
                        self.rest = self.rest.get(1..).unwrap_or_default();
                    }
                }
                '$' if chars.as_str().starts_with('$') => {
                    name.push('$');
                    self.rest = chars.as_str().get(1..).unwrap_or_default();
                }
                _ => {
                    name.push(char);
                    self.rest = chars.as_str();
                }
            }
        }
        name
    }

    fn ends_targets(&self) -> bool {
        let after = self.rest.strip_prefix(':');
        after.is_some_and(|after| {
            after.is_empty()
                || after.starts_with([' ', '\t', '\n', '\r'])
                || continued(after).is_some()
        })
    }
}

/// What comes after a backslash at a line's end.
fn continued(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('\\')?;
    rest.strip_prefix('\n').or_else(|| rest.strip_prefix("\r\n"))
}

const MOST_RULES: usize = 1 << 16;
