//! What a module is, by its name, its archive and its language.

use crate::Kind;

use super::compile::{CVTRES, LINK};
use super::dbi::Module;

/// Classifies a module. `object` is what it says its object file is.
pub(super) fn kind(module: &Module, object: Option<&str>, language: Option<u8>) -> Kind {
    let name = module.name.as_str();
    if let Some(made_up) = name.strip_prefix("* ") {
        return match made_up {
            "CIL *" => Kind::LinkTimeCode,
            "Linker Generated Manifest RES *" => Kind::Resource,
            _ => Kind::Linker,
        };
    }
    let base = base_name(name);
    if name.starts_with("Import:") || language == Some(LINK) && has_ending(base, ".dll") {
        return Kind::Import;
    }
    if language == Some(CVTRES) || has_ending(base, ".res") {
        return Kind::Resource;
    }
    if has_ending(base, ".exp") {
        return Kind::Linker;
    }
    // An import library has a module by the library's name for each of its tables.
    if has_ending(base, ".dll") || is_of_dlltool(base, &module.object_file) {
        return Kind::Import;
    }
    if base.contains(".lto.") || base == "lto.tmp" {
        return Kind::LinkTimeCode;
    }
    if is_runtime(module) || object.is_some_and(is_of_runtime_sources) {
        return Kind::Runtime;
    }
    Kind::Source
}

fn is_runtime(module: &Module) -> bool {
    let archive = base_name(&module.object_file).to_ascii_lowercase();
    let stem = archive.split('.').next().unwrap_or_default();
    let stem = stem.strip_prefix("lib").unwrap_or(stem);
    // `LIBCMTD.lib` is the debug build of `LIBCMT.lib`.
    let release = stem.strip_suffix('d').unwrap_or(stem);
    let is_archive = archive.ends_with(".lib") || archive.ends_with(".a");
    is_archive && (RUNTIME.contains(&stem) || RUNTIME.contains(&release))
        || MINGW_OBJECTS.contains(&base_name(&module.name))
        || is_of_runtime_sources(&module.name)
}

/// Where Microsoft builds its runtime, as the objects of several versions say.
fn is_of_runtime_sources(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace('/', "\\");
    RUNTIME_SOURCES.iter().any(|part| path.contains(part))
}

/// Whether a member of an archive is what dlltool makes of a library's definitions: a head, a tail,
/// and one for each name: `libkernel32h.o`, `libkernel32t.o`, `libmsvcrt_defs00055.o`.
fn is_of_dlltool(base: &str, archive: &str) -> bool {
    let stem = base_name(archive).strip_suffix(".a");
    let rest = stem.filter(|stem| !stem.is_empty()).and_then(|stem| base.strip_prefix(stem));
    let rest = rest.and_then(|rest| rest.strip_suffix(".o")).unwrap_or_default();
    let rest = rest.strip_prefix("_def").unwrap_or(rest);
    let is_numbered = rest.strip_prefix('s').is_some_and(|number| {
        number.len() == 5 && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    is_numbered || rest == "h" || rest == "t"
}

fn base_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

fn has_ending(name: &str, ending: &str) -> bool {
    let start = name.len().saturating_sub(ending.len());
    name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

/// Names of archives, without `lib` before and a debug build's `d` after. Those that anybody may give
/// to his own (`libc`, as Visual Studio 2003 had one, `crt`) are not among them.
const RUNTIME: [&str; 24] = [
    "cmt",
    "cpmt",
    "msvcrt",
    "msvcprt",
    "msvcmrt",
    "msvcurt",
    "vcruntime",
    "vcasan",
    "ucrt",
    "ucrt_osmode",
    "concrt",
    "concrt140",
    "oldnames",
    "delayimp",
    "comsupp",
    "comsuppw",
    "ptrustm",
    "softintrin",
    "mingw32",
    "mingwex",
    "gcc",
    "gcc_eh",
    "clang_rt",
    "runtimeobject",
];
const MINGW_OBJECTS: [&str; 8] = [
    "crt1.o",
    "crt2.o",
    "crt2u.o",
    "dllcrt1.o",
    "dllcrt2.o",
    "crtbegin.o",
    "crtend.o",
    "CRT_fp10.o",
];
const RUNTIME_SOURCES: [&str; 6] = [
    "\\crt\\vcstartup\\",
    "\\crt\\vcruntime\\",
    "\\minkernel\\crts\\",
    "\\vctools\\crt",
    "\\crt_bld\\",
    "\\crt\\github\\",
];
