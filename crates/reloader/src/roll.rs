//! Whether the loader's own list says what the plugin believes to be loaded.

use std::ops::Range;

use rendezvous::{Consistency, Location, Process};

/// Whether each of these images is in the loader's list, once; `None` if the list cannot be read,
/// as in a sandbox, or another thread keeps changing it.
pub(crate) fn has_each_once<'a>(
    images: impl IntoIterator<Item = &'a Range<usize>>,
) -> Option<bool> {
    let process = Process::own().ok()?;
    let Location::Found(rendezvous) = process.locate().ok()? else { return None };
    let snapshot = rendezvous.snapshot(&process);
    if snapshot.consistency != Consistency::Consistent || snapshot.problem.is_some() {
        return None;
    }
    Some(images.into_iter().all(|image| {
        let is_in_it = |at: u64| usize::try_from(at).is_ok_and(|at| image.contains(&at));
        snapshot.modules().filter(|module| is_in_it(module.dynamic)).count() == 1
    }))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_there_once_and_what_is_none_is_not() {
        let process = Process::own().unwrap();
        let rendezvous = process.locate().unwrap().found().unwrap();
        let dynamic = rendezvous.snapshot(&process).modules().next().unwrap().dynamic as usize;
        assert_eq!(has_each_once([&(dynamic..dynamic + 1)]), Some(true));
        assert_eq!(has_each_once([&(dynamic..dynamic + 1), &(1..2)]), Some(false));
        // The whole of memory has more than one.
        assert_eq!(has_each_once([&(0..usize::MAX)]), Some(false));
    }
}
