//! What was done to an image.

use std::fmt::Write;
use std::path::Path;

use patch_plan::Plan;
use serde::Serialize;

use crate::destination::Edits;
use crate::legible::legible;
use crate::palette::Palette;
use crate::report::Report;

/// What was done to an image. Its JSON form is documented in the long help of `reloader patch`.
#[derive(Debug, Serialize)]
pub struct Changed {
    file: String,
    /// Where the result is, unless it was only to be shown.
    pub output: Option<String>,
    format: &'static str,
    pub changes: Vec<Change>,
    #[serde(flatten)]
    edits: Edits,
    pub signature: Vec<Directory>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Change {
    /// Which image of a fat file.
    pub image: Option<String>,
    pub what: &'static str,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// A code directory whose hashes have been renewed.
#[derive(Debug, Serialize)]
pub struct Directory {
    pub image: Option<String>,
    pub slot: u32,
    pub cd_hash: String,
}

impl Changed {
    pub fn of(file: &Path, format: &'static str, plan: &Plan) -> Changed {
        Changed {
            file: file.display().to_string(),
            output: None,
            format,
            changes: Vec::new(),
            edits: Edits::of(plan),
            signature: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Report for Changed {
    fn line(&self, palette: &Palette) -> String {
        let Palette { good, odd, quiet, .. } = palette;
        let outcome = self.edits.outcome(&self.file, self.output.as_deref());
        let mut text = format!("{good}{}{good:#}: {outcome}", legible(&self.file));
        // A string takes whatever is written, here and below.
        let mut line = |label: &str, line: std::fmt::Arguments<'_>| {
            let _ = write!(text, "\n  {label:<14} {line}");
        };
        for Change { image, what, before, after } in &self.changes {
            let image = image.iter().map(|image| format!("{image}: ")).collect::<String>();
            let shown = |name: &Option<String>| name.as_deref().map_or("-".to_owned(), legible);
            let (before, after) = (shown(before), shown(after));
            line(what, format_args!("{image}{quiet}{before}{quiet:#} -> {after}"));
        }
        for edit in self.edits.shown.lines() {
            line("edit", format_args!("{quiet}{edit}{quiet:#}"));
        }
        for Directory { image, cd_hash, .. } in &self.signature {
            let image = image.iter().map(|image| format!("{image}: ")).collect::<String>();
            line("signature", format_args!("{image}renewed ad hoc, cdhash {cd_hash}"));
        }
        for warning in &self.warnings {
            line("warning", format_args!("{odd}{warning}{odd:#}"));
        }
        text
    }
}
