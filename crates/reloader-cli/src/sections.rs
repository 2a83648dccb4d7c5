//! `reloader sections`: where an image's segments, sections and variables are.

mod elf;
mod listing;
mod macho;
mod map;
mod pe;
mod process;
mod table;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use elf_sections::Source;

use self::listing::{Body, Listing, Wanted};
use self::process::Target;
use crate::format::Format;
use crate::palette::Palette;
use crate::report::{Report, print, print_json, remark};

/// Show the segments and sections of an image, and which of its bytes are variables
///
/// The format is found by content: ELF, Mach-O (fat files too) or PE. A module of a running process
/// is shown at the addresses it has there.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[group(skip)]
pub struct Sections {
    /// A file, or a module of a process: its name, its path or an address in it (0x…)
    #[arg(value_name = "IMAGE|PID:MODULE")]
    image: PathBuf,

    /// Only what is writable, and each range of it: variables, or why it holds none
    #[arg(long)]
    writable: bool,

    /// The symbols as well
    #[arg(long)]
    symbols: bool,

    /// Report one JSON object
    #[arg(long)]
    json: bool,
}

impl Sections {
    /// Shows the image; an error says why it cannot be read.
    pub fn execute(self) -> anyhow::Result<()> {
        let wanted = Wanted {
            // The map is made of them.
            ranges: self.writable || !self.json,
            only_writable: self.writable,
            symbols: self.symbols,
        };
        let show = |listing: &Listing<'_>| {
            if self.json {
                print_json(listing)?;
                listing.remarks().for_each(remark);
            } else {
                print(listing.line(&Palette::of(&std::io::stdout())).trim_end())?;
            }
            listing.check_slices()
        };
        match Target::of(&self.image) {
            Some(target) => target.list(&wanted, show),
            None => list(&self.image, &wanted, show),
        }
    }
}

/// Shows what is listed of a file.
fn list(
    path: &Path,
    wanted: &Wanted,
    show: impl FnOnce(&Listing<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (format, file) = Format::open(path)?;
    let name = path.display().to_string();
    let named = || name.clone();
    match format {
        Format::Elf => {
            let source = Source::new(file).with_context(named)?;
            let image = source.image().map_err(crate::format::with_cure).with_context(named)?;
            let mut listed = elf::list(&image, 0, wanted);
            if let Some(error) = source.failure() {
                return Err(error).with_context(named);
            }
            listed.remarks.extend(image.check_extent().err().map(|error| error.to_string()));
            let body = Body::Image(Box::new(listed));
            show(&Listing { file: name, format: "elf", place: None, body })
        }
        Format::MachO => {
            let bytes = read(file).with_context(named)?;
            let listing = macho::list(&name, &bytes, wanted);
            show(&listing.map_err(crate::format::with_cure).with_context(named)?)
        }
        Format::Pe => {
            let bytes = read(file).with_context(named)?;
            let image = pe_patch::Image::parse(&bytes)
                .map_err(crate::format::with_cure)
                .with_context(named)?;
            let body = Body::Image(Box::new(pe::list(&image, wanted)));
            show(&Listing { file: name, format: "pe", place: None, body })
        }
    }
}

impl Listing<'_> {
    /// What could not be found out.
    fn remarks(&self) -> impl Iterator<Item = &str> {
        let own: &[Listing<'_>] = match &self.body {
            Body::Slices { slices } => slices,
            _ => std::slice::from_ref(self),
        };
        own.iter().flat_map(|listing| match &listing.body {
            Body::Image(image) => image.remarks.iter().map(String::as_str).collect(),
            Body::Unread { error, .. } => vec![error.as_str()],
            Body::Slices { .. } => Vec::new(),
        })
    }

    /// Whether every slice is an image.
    fn check_slices(&self) -> anyhow::Result<()> {
        let Body::Slices { slices } = &self.body else { return Ok(()) };
        let unread = slices.iter().filter(|it| matches!(it.body, Body::Unread { .. })).count();
        match unread {
            0 => Ok(()),
            _ => bail!("{}: {unread} of {} slices are no images", self.file, slices.len()),
        }
    }
}

fn read(mut file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

const JSON_HELP: &str = "\
In the text, numbers are hexadecimal. In the map, a cell shows what comes first in the legend of all
that is in it; without colour the characters alone tell.

With --json, one object. Absent facts are null. It has
  file, format        elf, mach-o, pe; fat or fat64 for a file of several images
  class               32 or 64
  endian              little or big
  machine             x86-64, arm64, ...
  segments            each with name, address, memory_size, file_offset, file_size, read, write and
                      execute. ELF segments have the names of their types, LOAD, GNU_RELRO, ...;
                      in a PE image every section is a segment too
  sections            each with name, segment, address, size, file_offset, file_size, writable and
                      excluded: why it holds no variables; null if it does, or some of it may.
                      file_size is 0 for zeros that are only in memory
  slices              of a fat file, instead of the five above: for each image an object of this
                      shape with offset and size of the slice, or with machine and error
  variables           with --writable: address and size of each range of variables
  excluded            with --writable: the same of what is writable and none, with reason
  thread_local        with --writable: address and template_size of the initial values, size and
                      align of each thread's block
  symbols             with --symbols: each with name, address, size, kind, binding, section, file,
                      version and excluded
  process, bias       of a module: which process, and what was added to the image's addresses
  file_state          of a module: unchanged; deleted or replaced (the file that was loaded is
                      shown); none (the kernel's own); lost (only what is in memory could be shown)

Addresses are the image's own, or for a module those in the process; in a PE image they are counted
from its base. Offsets are counted from the start of the file, in a fat file too.

Reasons are read-only, read-only-after-relocation, got, lazy-binding, initializers, dynamic-table,
thread-local, relocated-word, copy-relocated, transactional-memory-table, unwind-table, code,
loader-data, loader-table, headers, padding and not-mapped.";
