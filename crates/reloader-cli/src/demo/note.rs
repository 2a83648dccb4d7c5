//! What the demo itself reports, besides the plugin's events.

use std::fmt::Write;

use serde::Serialize;

use super::workshop::{Edit, Workshop};
use crate::palette::Palette;
use crate::report::Report;

/// Something the demo did or saw. Its JSON form is documented in the long help of `reloader demo`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Note {
    Written { file: String },
    Built { file: String, compiler: String, micros: u64 },
    Edited { file: String, line: usize, removed: Vec<String>, added: Vec<String> },
    Observed { what: &'static str, text: String },
    Kept { directory: String },
    Finished { observed: usize },
}

impl Note {
    /// Builds the library and notes it.
    pub fn built(workshop: &Workshop) -> anyhow::Result<Self> {
        let took = workshop.build()?;
        Ok(Self::Built {
            file: workshop.library().display().to_string(),
            compiler: workshop.compiler(),
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// Notes an edit of `file`.
    pub fn edited(file: String, Edit { line, removed, added }: Edit) -> Self {
        Self::Edited { file, line, removed, added }
    }
}

impl Report for Note {
    fn line(&self, palette: &Palette) -> String {
        let Palette { good, bad, quiet, .. } = palette;
        match self {
            Self::Written { file } => format!("{:<12}{file}", "written"),
            Self::Built { compiler, micros, .. } => {
                format!("{quiet}{:<12}with {compiler} in {} ms{quiet:#}", "built", micros / 1000)
            }
            Self::Edited { file, line, removed, added } => {
                let mut text = format!("\n{:<12}{file}:{line}", "edited");
                for (sign, style, lines) in [('-', bad, removed), ('+', good, added)] {
                    for line in lines.iter().filter(|line| !both(removed, added).contains(line)) {
                        // A string takes whatever is written.
                        let _ = write!(text, "\n{:<12}{style}{sign} {}{style:#}", "", line.trim());
                    }
                }
                text
            }
            Self::Observed { text, .. } => format!("{good}{:<12}{good:#}{text}", "observed"),
            Self::Kept { directory } => format!("{:<12}{directory}", "kept"),
            Self::Finished { observed } => {
                format!("\n{good}{:<12}{good:#}all {observed} things were observed", "finished")
            }
        }
    }
}

/// The lines that an edit left as they were.
fn both<'a>(removed: &'a [String], added: &'a [String]) -> Vec<&'a String> {
    removed.iter().filter(|line| added.contains(line)).collect()
}
