//! What the root of a unit says of the unit itself.

use super::header::Header;
use super::root::Root;
use super::strings::{Offsets, Strings};
use super::{language, producer};
use crate::{Fact, Flag, Kind, Unit};

/// What the root of a unit says of the unit itself.
pub(crate) fn describe(
    strings: &mut Strings<'_>,
    root: &Root,
    offsets: Option<Offsets>,
    commands: bool,
) -> Unit {
    let mut text = |text: &Option<_>| strings.text(text.as_ref()?, offsets);
    let mut unit = Unit {
        cwd: text(&root.comp_dir).map(Fact::recorded),
        language: root.language.and_then(language::name).map(str::to_owned),
        ..Unit::default()
    };
    if let Some(name) = text(&root.name) {
        named(&mut unit, name);
    }
    if root.optimized {
        unit.flags.push(Flag::Optimized);
    }
    if root.dwo_name.is_some() {
        unit.flags.push(Flag::SplitDebugInfo);
    }
    let flags = text(&root.flags);
    if let Some(producer) = text(&root.producer) {
        producer::describe(&mut unit, &producer, flags.as_deref(), commands);
    }
    unit
}

/// Where a unit's texts that are numbered are listed.
pub(crate) fn str_offsets(header: &Header, root: &Root) -> Option<Offsets> {
    let version = header.encoding.version;
    let base = root.str_offsets_base.or((version < 5).then_some(0));
    // Behind the header of the section's only table, where the root does not say.
    let base =
        base.unwrap_or(if header.encoding.format == gimli::Format::Dwarf64 { 16 } else { 8 });
    Some(Offsets { base, encoding: header.encoding })
}

/// Takes a unit's name apart: it is the source, but for what rustc and GCC make up.
pub(crate) fn named(unit: &mut Unit, name: String) {
    if name == "<artificial>" {
        unit.kind = Kind::LinkTimeCode;
        unit.module = name;
        return;
    }
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    // Anybody may have a `start.S`; who is the C library or GCC's own says so.
    let cwd = unit.cwd.as_ref().map_or("", |cwd| &*cwd.value);
    let is_libs =
        |path: &str| ["sysdeps", "glibc", "libgcc", "/csu"].iter().any(|it| path.contains(it));
    if matches!(base, "crtstuff.c" | "start.S" | "crti.S" | "crtn.S" | "abi-note.c")
        && (is_libs(&name) || is_libs(cwd))
    {
        unit.kind = Kind::Runtime;
    }
    match name.split_once("/@/") {
        Some((source, part)) => {
            unit.module = part.to_owned();
            unit.source = Some(Fact::recorded(source.to_owned()));
        }
        None => unit.source = Some(Fact::recorded(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_a_program_is_the_c_librarys_only_if_it_is_from_there() {
        for (cwd, name, kind) in [
            ("/build/glibc-2.36/csu", "../sysdeps/x86_64/start.S", Kind::Runtime),
            (
                "/build/gcc-12/x86_64-linux-gnu/libgcc",
                "../../../src/libgcc/crtstuff.c",
                Kind::Runtime,
            ),
            ("/home/me/kernel", "boot/start.S", Kind::Source),
            ("/home/me/kernel", "crti.S", Kind::Source),
        ] {
            let cwd = Some(Fact::recorded(cwd.to_owned()));
            let mut unit = Unit { cwd, ..Unit::default() };
            named(&mut unit, name.to_owned());
            assert_eq!(unit.kind, kind, "{name}");
        }
    }
}
