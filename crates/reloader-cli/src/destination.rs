//! Changes of images: where their results go, and how they are reported.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use patch_plan::{Plan, WriteOptions};
use serde::Serialize;

/// Where the result of a change goes. The command has a group of arguments `change`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Destination {
    /// Write the result to this file
    #[arg(long, value_name = "FILE", requires = "change", group = "destination")]
    pub output: Option<PathBuf>,

    /// Replace each image by its result, in one step
    #[arg(long, requires = "change", group = "destination")]
    in_place: bool,

    /// Only show what would be done, whatever else says where it would go
    #[arg(long, requires = "change")]
    dry_run: bool,
}

impl Destination {
    /// Ends the program with 2 if nothing says where the result of a change is to go.
    pub fn check(&self, subcommand: &str) {
        if self.output.is_none() && !self.in_place && !self.dry_run {
            let what =
                "where to? --output FILE, --in-place, or --dry-run to see what would be done";
            usage(subcommand, what);
        }
    }

    /// Writes the result and says where it is; nowhere, if it was only to be shown, or if the image
    /// would stay as it is.
    pub fn write(&self, plan: &Plan, image: &Path) -> anyhow::Result<Option<String>> {
        let is_needless = self.output.is_none() && plan.is_empty();
        if self.dry_run || is_needless {
            return Ok(None);
        }
        let output = self.output.as_deref().unwrap_or(image);
        let written = plan.write_file(image, output, &WriteOptions::default())?;
        Ok(Some(written.path.display().to_string()))
    }
}

/// What a plan changes, for reports.
#[derive(Debug, Serialize)]
pub struct Edits {
    edits: Vec<Edit>,
    tail: Option<Edit>,
    /// The edits as they are read best.
    #[serde(skip)]
    pub shown: String,
}

/// An edit, or what happens behind the last byte that stays; with the bytes in hexadecimal.
#[derive(Debug, Serialize)]
struct Edit {
    offset: u64,
    old: String,
    new: String,
}

impl Edits {
    pub fn of(plan: &Plan) -> Edits {
        let edits = plan.edits().iter().map(|it| Edit::of(it.offset, &it.old, &it.new));
        Edits {
            edits: edits.collect(),
            tail: plan.tail().map(|it| Edit::of(it.offset, &it.old, &it.new)),
            shown: plan.show().to_string(),
        }
    }

    /// What has become of a file, in words.
    pub fn outcome(&self, file: &str, output: Option<&str>) -> String {
        match output {
            _ if self.shown.is_empty() => "nothing to change".to_owned(),
            Some(output) if is_same(output, file) => "changed in place".to_owned(),
            Some(output) => format!("written to {output}"),
            None => "would be changed".to_owned(),
        }
    }
}

/// Whether a file that has been written is the one that was named.
fn is_same(written: &str, named: &str) -> bool {
    written == named || fs::canonicalize(named).is_ok_and(|it| it == Path::new(written))
}

impl Edit {
    fn of(offset: u64, old: &[u8], new: &[u8]) -> Edit {
        Edit { offset, old: hexadecimal(old), new: hexadecimal(new) }
    }
}

/// Bytes as digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Ends the program as for any other command line that makes no sense.
pub fn usage(subcommand: &str, what: &str) -> ! {
    let mut command = crate::Arguments::command();
    command.build();
    let command = command.find_subcommand_mut(subcommand).expect("it is the one that runs");
    command.error(ErrorKind::MissingRequiredArgument, what).exit()
}
