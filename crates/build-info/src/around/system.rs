//! Lists of files that leave out the system's headers.

use super::index::Index;
use super::{Step, options};
use crate::{Format, Provenance, Resolve};

impl Index<'_> {
    /// Whether a compiler's list of files may leave out the system's headers.
    ///
    /// The command says so (`-MD` or `-MMD`): the unit's own, or that of the step. Where it is not known, the list itself shows it if one
    /// of the system's headers is in it: hardly anything is compiled without one, for GCC includes
    /// one of the C library into everything.
    pub(super) fn leaves_out_system(
        &self,
        list: &Step,
        own: Option<&[String]>,
        resolve: &Resolve,
        format: Format,
    ) -> bool {
        let is_compilers = matches!(list.provenance, Provenance::Depfile | Provenance::Ninja);
        let is_rust = list.source.as_ref().is_some_and(|source| source.ends_with(".rs"));
        if !is_compilers || is_rust {
            return false;
        }
        let of_output = || {
            let directory = list.directory.as_deref()?;
            let mut keys = list.outputs.iter().map(|path| resolve.key(directory, path, format));
            let told = |step: &Step| options::lists_system(&step.command.as_ref()?.arguments());
            keys.find_map(|key| self.of_output(&key).find_map(told))
        };
        match own.and_then(options::lists_system).or_else(of_output) {
            Some(lists) => !lists,
            None => !list.inputs.iter().flatten().any(|path| is_systems(path)),
        }
    }
}

/// Whether a header lies where those of a system or a compiler do.
fn is_systems(path: &str) -> bool {
    let path = path.replace('\\', "/");
    PLACES.iter().any(|place| path.contains(place))
}

const PLACES: [&str; 9] = [
    "/usr/include/",
    "/usr/local/include/",
    "/lib/gcc/",
    "/lib/clang/",
    "/include/c++/",
    "/usr/lib/",
    ".sdk/",
    "/Windows Kits/",
    "/VC/Tools/MSVC/",
];
