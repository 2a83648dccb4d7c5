//! What an image says about its PDB.

use std::fmt::Write;
use std::path::Path;

use anyhow::bail;
use pe_patch::{DebugEntry, DirectoryKind, Image, Warning};
use serde::Serialize;

use crate::legible::legible;
use crate::palette::Palette;
use crate::report::Report;

/// The debug directory of an image. Its JSON form is documented in the long help of
/// `reloader pdb-path`.
#[derive(Debug, Serialize)]
pub struct Listing {
    file: String,
    machine: String,
    /// Whether the image says that it has a debug directory; where it is missing, `problems` say so.
    #[serde(skip)]
    has_directory: bool,
    entries: Vec<Entry>,
    problems: Vec<String>,
    signed: bool,
    checksum: Checksum,
}

#[derive(Debug, Serialize)]
struct Entry {
    index: u32,
    kind: &'static str,
    guid: Option<String>,
    age: Option<u32>,
    path: Option<String>,
    /// How many bytes of path fit into the record as it is.
    capacity: Option<u64>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Checksum {
    stored: u32,
    computed: u32,
}

impl Listing {
    /// The listing of an image, or of one entry of it.
    pub fn of(file: &Path, image: &Image<'_>, only: Option<u32>) -> anyhow::Result<Self> {
        let directory = image.debug_directory();
        let mut entries: Vec<Entry> = directory.entries.iter().map(Entry::of).collect();
        if let Some(only) = only {
            entries.retain(|entry| entry.index == only);
            if entries.is_empty() {
                bail!("{}: the debug directory has no entry {only}", file.display());
            }
        }
        let mut problems: Vec<String> =
            directory.problems.iter().map(ToString::to_string).collect();
        problems.extend(Warning::cut_short(image).map(|warning| warning.to_string()));
        Ok(Self {
            file: file.display().to_string(),
            machine: image.machine().to_string(),
            has_directory: image.directory(DirectoryKind::Debug).is_some(),
            entries,
            problems,
            signed: image.directory(DirectoryKind::Security).is_some(),
            checksum: Checksum {
                stored: image.stored_checksum().value,
                computed: image.computed_checksum(),
            },
        })
    }
}

impl Report for Listing {
    fn line(&self, palette: &Palette) -> String {
        let Palette { good, odd, quiet, .. } = palette;
        let Checksum { stored, computed } = self.checksum;
        let checksum = match stored {
            0 => "no checksum".to_owned(),
            _ if stored == computed => format!("checksum {stored:#010x}"),
            _ => format!("{odd}checksum {stored:#010x} is wrong, {computed:#010x} is right{odd:#}"),
        };
        let signed = if self.signed { "signed" } else { "not signed" };
        let mut text =
            format!("{good}{}{good:#}: {}, {signed}, {checksum}", self.file, self.machine);
        let mut line = |line: std::fmt::Arguments<'_>| {
            // A string takes whatever is written.
            let _ = write!(text, "\n{line}");
        };
        if !self.has_directory {
            line(format_args!("  {quiet}no debug directory{quiet:#}"));
        } else if self.entries.is_empty() {
            line(format_args!("  {quiet}a debug directory of which no entry can be read{quiet:#}"));
        } else {
            line(format_args!(
                "  {quiet}{:>5}  {:<22}  {:<36}  {:>10}  {:>8}  PATH{quiet:#}",
                "ENTRY", "KIND", "GUID", "AGE", "CAPACITY"
            ));
        }
        for entry in &self.entries {
            let Entry { index, kind, guid, age, path, capacity, problems } = entry;
            let row = format!(
                "{index:>5}  {kind:<22}  {:<36}  {:>10}  {:>8}  {}",
                guid.as_deref().unwrap_or_default(),
                age.map(|it| it.to_string()).unwrap_or_default(),
                capacity.map(|it| it.to_string()).unwrap_or_default(),
                path.as_deref().map(shown).unwrap_or_default(),
            );
            line(format_args!("  {}", row.trim_end()));
            for problem in problems {
                line(format_args!("         {odd}{problem}{odd:#}"));
            }
        }
        for problem in &self.problems {
            line(format_args!("  {odd}{problem}{odd:#}"));
        }
        text
    }
}

impl Entry {
    fn of(entry: &DebugEntry<'_>) -> Self {
        Self {
            index: entry.index,
            kind: entry.kind.as_str(),
            guid: entry.guid.map(|guid| guid.to_string()),
            age: entry.age,
            path: entry.path.map(|path| String::from_utf8_lossy(path).into_owned()),
            capacity: entry.capacity,
            problems: entry.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A path on a terminal.
pub fn shown(path: &str) -> String {
    if path.is_empty() { "(empty)".to_owned() } else { legible(path) }
}
