//! What is done to the PDB path of an image.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use patch_plan::Plan;
use pe_patch::{
    Image, PathForm, PdbPathOptions, PdbPathPlan, Removal, Rung, Signature, Which, plan_pdb_path,
    plan_remove_pdb_path,
};
use serde::Serialize;

use super::listing::shown;
use crate::destination::Edits;
use crate::palette::Palette;
use crate::report::Report;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Change {
    /// Another path.
    Set(String),
    /// The present path's last part.
    Basename,
    /// No path.
    Strip,
}

/// What is done to an image. Its JSON form is documented in the long help of
/// `reloader pdb-path`.
#[derive(Debug, Serialize)]
pub struct Changed {
    file: String,
    /// Where the result is, unless it was only to be shown.
    pub output: Option<String>,
    /// The highest one of all entries.
    rung: Option<&'static str>,
    entries: Vec<Entry>,
    #[serde(flatten)]
    edits: Edits,
    checksum: Checksum,
    signature: &'static str,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Entry {
    index: u32,
    rung: &'static str,
    before: String,
    after: String,
}

#[derive(Debug, Serialize)]
struct Checksum {
    before: u32,
    after: u32,
}

impl Change {
    /// Plans it for an image.
    pub fn plan(
        &self,
        file: &Path,
        image: &Image<'_>,
        entry: Option<u32>,
        allow_strip_signature: bool,
    ) -> anyhow::Result<(Plan, Changed)> {
        let mut options = PdbPathOptions {
            entry: entry.map_or(Which::All, Which::One),
            signature: if allow_strip_signature { Signature::Strip } else { Signature::Refuse },
            ..PdbPathOptions::default()
        };
        let planned = match self {
            Self::Set(path) => plan_pdb_path(image, path, &options),
            Self::Basename => {
                options.form = PathForm::BaseName;
                let path = present_path(image, options.entry)
                    .with_context(|| file.display().to_string())?;
                plan_pdb_path(image, &path, &options)
            }
            Self::Strip => plan_remove_pdb_path(image, Removal::Path, &options),
        };
        let PdbPathPlan { plan, report } = planned.with_context(|| file.display().to_string())?;
        let changed = Changed {
            file: file.display().to_string(),
            output: None,
            rung: report.entries.iter().map(|it| it.rung).max().map(Rung::as_str),
            entries: report
                .entries
                .iter()
                .map(|it| Entry {
                    index: it.index,
                    rung: it.rung.as_str(),
                    before: String::from_utf8_lossy(&it.old_path).into_owned(),
                    after: String::from_utf8_lossy(&it.new_path).into_owned(),
                })
                .collect(),
            edits: Edits::of(&plan),
            checksum: Checksum { before: report.checksum.before, after: report.checksum.after },
            signature: report.signature.as_str(),
            warnings: report.warnings.iter().map(ToString::to_string).collect(),
        };
        Ok((plan, changed))
    }
}

impl Report for Changed {
    fn line(&self, palette: &Palette) -> String {
        let Palette { good, odd, quiet, .. } = palette;
        let Self { file, checksum: Checksum { before, after }, .. } = self;
        let outcome = self.edits.outcome(file, self.output.as_deref());
        let mut text = format!("{good}{file}{good:#}: {outcome}");
        let mut line = |label: &str, line: std::fmt::Arguments<'_>| {
            // A string takes whatever is written.
            let _ = write!(text, "\n  {label:<11}{line}");
        };
        for Entry { index, rung, before, after } in &self.entries {
            line("entry", format_args!("{index}, {}", place(rung)));
            line("  from", format_args!("{quiet}{}{quiet:#}", shown(before)));
            line("  to", format_args!("{}", shown(after)));
        }
        for edit in self.edits.shown.lines() {
            line("edit", format_args!("{quiet}{edit}{quiet:#}"));
        }
        match (before, after) {
            (0, 0) => line("checksum", format_args!("none")),
            _ => line("checksum", format_args!("{before:#010x} -> {after:#010x}")),
        }
        line("signature", format_args!("{}", self.signature));
        for warning in &self.warnings {
            line("warning", format_args!("{odd}{warning}{odd:#}"));
        }
        text
    }
}

/// The path that the chosen entries have, if it is one.
fn present_path(image: &Image<'_>, which: Which) -> anyhow::Result<String> {
    let mut paths: Vec<&[u8]> = image
        .debug_entries()
        .iter()
        .filter(|entry| which == Which::All || which == Which::One(entry.index))
        .filter_map(|entry| entry.path)
        .collect();
    paths.dedup();
    match paths[..] {
        [] => bail!("no entry of its debug directory has a PDB path"),
        [path] => match std::str::from_utf8(path) {
            Ok(path) => Ok(path.to_owned()),
            Err(_) => bail!("its PDB path is no UTF-8; --set gives it another"),
        },
        _ => bail!("its entries have different paths; --entry chooses one"),
    }
}

/// A rung of the ladder in words.
fn place(rung: &str) -> &str {
    match rung {
        "record" => "within its record",
        "gap" => "into the gap behind its record",
        "tail" => "moved to the tail of a section",
        "new-section" => "moved to a new section",
        "last-section" => "moved to the last section, which grows",
        "base-name" => "cut down to its base name, for want of room",
        other => other,
    }
}
