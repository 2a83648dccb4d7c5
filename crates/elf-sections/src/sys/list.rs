//! This process's images, kept for many look-ups.

use super::module::{Generation, Module};
use super::platform;

/// The images of this process, sorted so that finding the one of an address is a binary search.
///
/// ```
/// use elf_sections::sys::Modules;
///
/// fn function() {}
///
/// let mut modules = Modules::now();
/// # #[cfg(target_os = "linux")]
/// assert!(modules.at(function as *const () as usize).is_some());
/// // Costs some nanoseconds where nothing was loaded or unloaded since.
/// let has_changed = modules.refresh();
/// # let _ = has_changed;
/// ```
#[derive(Debug, Clone)]
pub struct Modules {
    modules: Vec<Module>,
    generation: Generation,
    /// Where the mapped segments start, ascending; none overlaps another.
    starts: Vec<usize>,
    /// Where each of them ends, and whose it is.
    ends: Vec<(usize, u32)>,
}

impl Modules {
    /// What is loaded now, in the caller's namespace.
    pub fn now() -> Modules {
        let (modules, generation) = platform::modules();
        let mut ranges: Vec<(usize, usize, u32)> = (0_u32..)
            .zip(&modules)
            .flat_map(|(number, module)| {
                module.mapped().map(move |range| (range.start, range.end, number))
            })
            .filter(|(start, end, _)| start < end)
            .collect();
        ranges.sort_unstable();
        let starts = ranges.iter().map(|&(start, ..)| start).collect();
        let ends = ranges.iter().map(|&(_, end, number)| (end, number)).collect();
        Modules { modules, generation, starts, ends }
    }

    /// The image that has an address in one of its mapped segments.
    ///
    /// Does not look whether the list [is current](Modules::is_current).
    pub fn at(&self, address: usize) -> Option<&Module> {
        let behind = self.starts.partition_point(|&start| start <= address);
        let &(end, number) = self.ends.get(behind.checked_sub(1)?)?;
        if address >= end {
            return None;
        }
        self.modules.get(usize::try_from(number).ok()?)
    }

    /// All of them, in the loader's order; the program comes first.
    pub fn all(&self) -> &[Module] {
        &self.modules
    }

    /// Whether nothing has been loaded or unloaded since.
    pub fn is_current(&self) -> bool {
        platform::generation() == self.generation
    }

    /// Reads the list again if something has been loaded or unloaded, and says whether it has.
    pub fn refresh(&mut self) -> bool {
        let is_current = self.is_current();
        if !is_current {
            *self = Modules::now();
        }
        !is_current
    }

    /// Which list this is.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}
