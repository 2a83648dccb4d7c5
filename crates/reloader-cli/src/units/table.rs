//! The units as text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use build_info::{BuildInfo, Format, Kind, Unit};

use super::listing::kind;
use super::long;
use super::uses::Uses;
use crate::legible::legible;
use crate::palette::Palette;

/// Writes a table of the units, with all that is known of each if that is wanted.
pub fn write(
    out: &mut dyn Write,
    name: &str,
    info: &BuildInfo,
    is_long: bool,
    palette: &Palette,
) -> io::Result<()> {
    let Palette { good, odd, apart, .. } = palette;
    let format = match info.format {
        Format::Pdb => "PDB",
        Format::MachO => "Mach-O",
        _ => "ELF",
    };
    writeln!(
        out,
        "{good}{}{good:#}: {format}, {}, {}",
        legible(name),
        counted(info.units.len(), "unit"),
        counted(info.files.len(), "file"),
    )?;
    for (toolchain, units) in toolchains(info) {
        writeln!(out, "  {}: {}", legible(&toolchain), counted(units, "unit"))?;
    }
    if let Some(linker) = &info.linker {
        let executable = linker.executable.as_ref().map(|fact| fact.value.as_str());
        if let Some(called) = linker.producer.as_deref().or(executable) {
            writeln!(out, "  linked by {}", legible(called))?;
        }
        if is_long {
            long::write_linker(linker, palette, out)?;
        }
    }
    if is_long && !info.groups.is_empty() {
        writeln!(out, "\n{:>10}  {:>10}  group", "address", "size")?;
        for group in &info.groups {
            let address = format!("{:#x}", group.address);
            let size = format!("{:#x}", group.size);
            writeln!(out, "{address:>10}  {size:>10}  {}", legible(&group.name))?;
        }
    }
    writeln!(out, "\n{:>10}  {:>7}  {:<9}  unit", "size", "files", "language")?;
    let called = Called::of(info);
    let listed = info.units.iter().filter(|_| is_long);
    let Ok(files) = Uses::of(info, listed, |used| long::file(info, used, palette));
    for unit in &info.units {
        let count = match (unit.files.len(), unit.has_all_files()) {
            (0, _) => "-".to_owned(),
            (count, false) => format!("{count}+"),
            (count, true) => count.to_string(),
        };
        let language = unit.language.as_deref().unwrap_or("-");
        let remark = match unit.kind {
            Kind::Source => String::new(),
            other => format!("  {apart}{}{apart:#}", kind(other)),
        };
        writeln!(
            out,
            "{:>10}  {count:>7}  {:<9}  {}{remark}",
            unit.size,
            legible(language),
            legible(&called.name(unit)),
        )?;
        if is_long {
            long::write(unit, &files, palette, out)?;
        }
    }
    for remark in &info.remarks {
        writeln!(out, "\n{odd}{}{odd:#}", legible(remark))?;
    }
    Ok(())
}

/// What units are called.
pub struct Called<'a> {
    uses: HashMap<&'a str, usize>,
}

impl<'a> Called<'a> {
    pub fn of(info: &'a BuildInfo) -> Self {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for unit in &info.units {
            *uses.entry(unit.name()).or_default() += 1;
        }
        Self { uses }
    }

    /// A unit's name. Several may be made from one source; then the module tells them apart.
    pub fn name<'u>(&self, unit: &'u Unit) -> Cow<'u, str> {
        let name = unit.name();
        let is_alone = self.uses.get(name).is_none_or(|&uses| uses == 1);
        if is_alone || unit.module.is_empty() || unit.module == name {
            return Cow::Borrowed(name);
        }
        Cow::Owned(format!("{name} ({})", unit.module))
    }
}

/// The compilers, and how many units each has compiled, most first.
pub fn toolchains(info: &BuildInfo) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for unit in info.units.iter().filter(|unit| unit.kind == Kind::Source) {
        *counts.entry(toolchain(unit)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, units)| std::cmp::Reverse(*units));
    counts
}

/// The compiler of a unit, without the options that GCC puts behind its name.
pub fn toolchain(unit: &Unit) -> String {
    let producer = unit.producer.as_deref().unwrap_or("unknown compiler");
    let name = producer.split(" -").next().unwrap_or(producer).trim();
    match unit.front_end {
        Some(version) if !name.contains(char::is_numeric) => format!("{name} {version}"),
        _ => name.to_owned(),
    }
}

/// A number of things.
pub fn counted(count: usize, thing: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{ending}")
}
