//! All that is known of a unit, as text.

use std::fmt::Write;

use build_info::{BuildInfo, Command, Fact, FileUse, Found, Linker, Unit};

use super::listing::{flag, line};
use crate::legible::legible;
use crate::palette::Palette;

/// Writes a line for each thing that is known of a unit.
pub fn write(info: &BuildInfo, unit: &Unit, palette: &Palette, text: &mut String) {
    let mut lines = Lines { palette, text };
    lines.plain("module", &unit.module);
    lines.plain("archive", unit.archive.as_deref().unwrap_or_default());
    lines.fact("object", &unit.object);
    lines.fact("source", &unit.source);
    lines.fact("directory", &unit.cwd);
    lines.fact("compiler", &unit.compiler);
    lines.fact("pdb", &unit.compiler_pdb);
    lines.command(&unit.command);
    lines.plain("defined", &unit.definitions.join(" "));
    lines.plain("target", unit.target.as_deref().unwrap_or_default());
    let version = |version: &Option<build_info::Version>| {
        version.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    lines.plain("front end", &version(&unit.front_end));
    lines.plain("back end", &version(&unit.back_end));
    lines.plain("producer", unit.producer.as_deref().unwrap_or_default());
    let flags: Vec<&str> = unit.flags.iter().copied().map(flag).collect();
    lines.plain("flags", &flags.join(", "));
    for used in &unit.files {
        lines.file(info, used);
    }
}

/// Writes a line for each thing that is known of the linker.
pub fn write_linker(linker: &Linker, palette: &Palette, text: &mut String) {
    let mut lines = Lines { palette, text };
    lines.fact("directory", &linker.cwd);
    lines.fact("linker", &linker.executable);
    lines.fact("pdb", &linker.pdb);
    lines.command(&linker.command);
}

struct Lines<'a> {
    palette: &'a Palette,
    text: &'a mut String,
}

impl Lines<'_> {
    fn plain(&mut self, what: &str, value: &str) {
        let Palette { quiet, .. } = self.palette;
        if !value.is_empty() {
            // A string takes whatever is written, here and below.
            let _ = writeln!(self.text, "{quiet}{what:>12}{quiet:#}  {}", legible(value));
        }
    }

    fn fact(&mut self, what: &str, fact: &Option<Fact<String>>) {
        self.plain(what, fact.as_ref().map_or("", |fact| &fact.value));
    }

    fn command(&mut self, command: &Option<Fact<Command>>) {
        let Some(command) = command else { return };
        let cut = if command.value.is_cut() { ", cut short" } else { "" };
        let shown = format!("{} ({}{cut})", line(&command.value), command.provenance);
        self.plain("command", &shown);
    }

    fn file(&mut self, info: &BuildInfo, used: &FileUse) {
        let Palette { quiet, odd, .. } = self.palette;
        let Some(file) = info.files.get(used.file.0 as usize) else { return };
        let checksum = used.checksum.and_then(|at| info.checksums.get(at as usize));
        let checksum = checksum.map(|sum| format!("  {}:{sum}", sum.kind())).unwrap_or_default();
        let missing = match file.found {
            Found::Missing => format!("  {odd}not found{odd:#}"),
            _ => String::new(),
        };
        let path = legible(&file.path);
        let from = used.provenance;
        let _ = writeln!(
            self.text,
            "{quiet}{:>12}{quiet:#}  {path}{missing}{quiet}{checksum} ({from}){quiet:#}",
            "file"
        );
    }
}
