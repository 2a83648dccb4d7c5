//! The units as text.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use build_info::{BuildInfo, Format, Kind, Unit};

use super::listing::kind;
use super::long;
use crate::legible::legible;
use crate::palette::Palette;

/// A table of the units, with all that is known of each if that is wanted.
pub fn of(name: &str, info: &BuildInfo, is_long: bool, palette: &Palette) -> String {
    let Palette { good, odd, apart, .. } = palette;
    let mut text = String::new();
    let format = match info.format {
        Format::Pdb => "PDB",
        Format::MachO => "Mach-O",
        _ => "ELF",
    };
    // A string takes whatever is written, here and below.
    let _ = writeln!(
        text,
        "{good}{}{good:#}: {format}, {}, {}",
        legible(name),
        counted(info.units.len(), "unit"),
        counted(info.files.len(), "file"),
    );
    for (toolchain, units) in toolchains(info) {
        let _ = writeln!(text, "  {}: {}", legible(&toolchain), counted(units, "unit"));
    }
    if let Some(linker) = &info.linker {
        let executable = linker.executable.as_ref().map(|fact| fact.value.as_str());
        if let Some(called) = linker.producer.as_deref().or(executable) {
            let _ = writeln!(text, "  linked by {}", legible(called));
        }
        if is_long {
            long::write_linker(linker, palette, &mut text);
        }
    }
    if is_long && !info.groups.is_empty() {
        let _ = writeln!(text, "\n{:>10}  {:>10}  group", "address", "size");
        for group in &info.groups {
            let address = format!("{:#x}", group.address);
            let size = format!("{:#x}", group.size);
            let _ = writeln!(text, "{address:>10}  {size:>10}  {}", legible(&group.name));
        }
    }
    let _ = writeln!(text, "\n{:>10}  {:>7}  {:<9}  unit", "size", "files", "language");
    let called = Called::of(info);
    for unit in &info.units {
        let files = match (unit.files.len(), unit.has_all_files()) {
            (0, _) => "-".to_owned(),
            (count, false) => format!("{count}+"),
            (count, true) => count.to_string(),
        };
        let language = unit.language.as_deref().unwrap_or("-");
        let remark = match unit.kind {
            Kind::Source => String::new(),
            other => format!("  {apart}{}{apart:#}", kind(other)),
        };
        let _ = writeln!(
            text,
            "{:>10}  {files:>7}  {:<9}  {}{remark}",
            unit.size,
            legible(language),
            legible(&called.name(unit)),
        );
        if is_long {
            long::write(info, unit, palette, &mut text);
        }
    }
    for remark in &info.remarks {
        let _ = writeln!(text, "\n{odd}{}{odd:#}", legible(remark));
    }
    text
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
    pub fn name(&self, unit: &Unit) -> String {
        let name = unit.name();
        let is_alone = self.uses.get(name).is_none_or(|&uses| uses == 1);
        if is_alone || unit.module.is_empty() || unit.module == name {
            return name.to_owned();
        }
        format!("{name} ({})", unit.module)
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
