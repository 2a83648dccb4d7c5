//! What became of the state in a transfer.

use std::fmt;

/// What became of each variable of the state when one version took over from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateReport {
    /// Variables that kept their value.
    pub carried: Vec<String>,
    /// Variables of the new version alone: they keep their initialisers.
    pub new: Vec<String>,
    /// Variables of the old version alone: their values are gone.
    pub dropped: Vec<String>,
    /// Variables whose size changed: what fits was kept.
    pub resized: Vec<Resized>,
    /// Variables that could not be carried, and why: they keep their initialisers.
    pub refused: Vec<Refused>,
    /// Bytes that were carried.
    pub bytes: u64,
    /// Words that led into an old image and now lead to the same thing in the new one.
    pub translated: usize,
    /// Words that still lead into an old image, which therefore stays mapped.
    pub untranslated: Vec<Untranslated>,
}

impl StateReport {
    /// Nothing was lost: no variable dropped or refused, no word left behind.
    pub fn is_whole(&self) -> bool {
        self.dropped.is_empty() && self.refused.is_empty() && self.untranslated.is_empty()
    }
}

impl fmt::Display for StateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} carried ({} bytes)", self.carried.len(), self.bytes)?;
        let mut list = |what: &str, names: &[String]| {
            if names.is_empty() { Ok(()) } else { write!(f, ", {what}: {}", names.join(" ")) }
        };
        list("new", &self.new)?;
        list("dropped", &self.dropped)?;
        for Resized { name, from, to } in &self.resized {
            write!(f, ", resized: {name} ({from} to {to} bytes)")?;
        }
        for Refused { name, reason } in &self.refused {
            write!(f, ", refused: {name} ({reason})")?;
        }
        for word in &self.untranslated {
            write!(f, ", untranslated: {word}")?;
        }
        Ok(())
    }
}

/// A variable whose size changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    /// The variable.
    pub name: String,
    /// Its size in the old version, in bytes.
    pub from: u64,
    /// Its size in the new version, in bytes.
    pub to: u64,
}

/// A variable that could not be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The variable.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A word that leads into the image of an old version and could not be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untranslated {
    /// Where the word lies: a variable of the state with an offset, or a place on the heap.
    pub at: String,
    /// What it leads to.
    pub target: String,
    /// The version whose image it leads into.
    pub version: u32,
}

impl fmt::Display for Untranslated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} of version {}", self.at, self.target, self.version)
    }
}
