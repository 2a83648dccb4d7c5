//! All that is known of a unit, as text.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, Write};

use build_info::{BuildInfo, Command, Fact, FileUse, Found, Linker, Unit};

use super::listing::{flag, line};
use super::uses::Uses;
use crate::legible::legible;
use crate::palette::Palette;

/// Writes a line for each thing that is known of a unit.
pub fn write(
    unit: &Unit,
    files: &Uses<String>,
    palette: &Palette,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut lines = Lines { palette, out };
    lines.plain("module", &unit.module)?;
    lines.plain("archive", unit.archive.as_deref().unwrap_or_default())?;
    lines.fact("object", &unit.object)?;
    lines.fact("source", &unit.source)?;
    lines.fact("directory", &unit.cwd)?;
    lines.fact("compiler", &unit.compiler)?;
    lines.fact("pdb", &unit.compiler_pdb)?;
    lines.command(&unit.command)?;
    lines.plain("defined", &unit.definitions.join(" "))?;
    lines.plain("target", unit.target.as_deref().unwrap_or_default())?;
    let version = |version: &Option<build_info::Version>| {
        version.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    lines.plain("front end", &version(&unit.front_end))?;
    lines.plain("back end", &version(&unit.back_end))?;
    lines.plain("producer", unit.producer.as_deref().unwrap_or_default())?;
    let flags: Vec<&str> = unit.flags.iter().copied().map(flag).collect();
    lines.plain("flags", &flags.join(", "))?;
    files.in_unit(unit).try_for_each(|file| out.write_all(file.as_bytes()))
}

/// The line for a file of a unit.
pub fn file(info: &BuildInfo, used: &FileUse, palette: &Palette) -> Result<String, Infallible> {
    let Palette { quiet, odd, .. } = palette;
    let mut line = String::new();
    let Some(file) = info.files.get(used.file.0 as usize) else { return Ok(line) };
    // A string takes whatever is written.
    let _ = write!(line, "{quiet}{:>12}{quiet:#}  {}", "file", legible(&file.path));
    if file.found == Found::Missing {
        let _ = write!(line, "  {odd}not found{odd:#}");
    }
    let _ = write!(line, "{quiet}");
    if let Some(sum) = used.checksum.and_then(|at| info.checksums.get(at as usize)) {
        let _ = write!(line, "  {}:{sum}", sum.kind());
    }
    let _ = writeln!(line, " ({}){quiet:#}", used.provenance);
    Ok(line)
}

/// Writes a line for each thing that is known of the linker.
pub fn write_linker(linker: &Linker, palette: &Palette, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = Lines { palette, out };
    lines.fact("directory", &linker.cwd)?;
    lines.fact("linker", &linker.executable)?;
    lines.fact("pdb", &linker.pdb)?;
    lines.command(&linker.command)
}

struct Lines<'a> {
    palette: &'a Palette,
    out: &'a mut dyn Write,
}

impl Lines<'_> {
    fn plain(&mut self, what: &str, value: &str) -> io::Result<()> {
        let Palette { quiet, .. } = self.palette;
        if value.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "{quiet}{what:>12}{quiet:#}  {}", legible(value))
    }

    fn fact(&mut self, what: &str, fact: &Option<Fact<String>>) -> io::Result<()> {
        self.plain(what, fact.as_ref().map_or("", |fact| &fact.value))
    }

    fn command(&mut self, command: &Option<Fact<Command>>) -> io::Result<()> {
        let Some(command) = command else { return Ok(()) };
        let cut = if command.value.is_cut() { ", cut short" } else { "" };
        let shown = format!("{} ({}{cut})", line(&command.value), command.provenance);
        self.plain("command", &shown)
    }
}
