//! What is said of a file is said for each unit that was made from it.

use build_info::{BuildInfo, FileUse, Provenance, Unit};

/// What is said of the uses of files: once for each that differs, however many units it is said of.
pub struct Uses<T> {
    /// For each file.
    files: Vec<Vec<Said<T>>>,
}

struct Said<T> {
    checksum: Option<u32>,
    provenance: Provenance,
    what: T,
}

impl<T> Uses<T> {
    /// Says of each use of a file what `say` has to say.
    pub fn of<'a, E>(
        info: &BuildInfo,
        units: impl IntoIterator<Item = &'a Unit>,
        say: impl Fn(&FileUse) -> Result<T, E>,
    ) -> Result<Self, E> {
        let mut files: Vec<Vec<Said<T>>> = info.files.iter().map(|_| Vec::new()).collect();
        for used in units.into_iter().flat_map(|unit| &unit.files) {
            let Some(known) = files.get_mut(used.file.0 as usize) else { continue };
            if !known.iter().any(|said| said.is_of(used)) {
                let FileUse { checksum, provenance, .. } = *used;
                known.push(Said { checksum, provenance, what: say(used)? });
            }
        }
        Ok(Self { files })
    }

    /// What is said of the files of a unit, in their order.
    pub fn in_unit<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = &'a T> {
        unit.files.iter().filter_map(|used| {
            let known = self.files.get(used.file.0 as usize)?;
            known.iter().find(|said| said.is_of(used)).map(|said| &said.what)
        })
    }
}

impl<T> Said<T> {
    fn is_of(&self, used: &FileUse) -> bool {
        self.checksum == used.checksum && self.provenance == used.provenance
    }
}
