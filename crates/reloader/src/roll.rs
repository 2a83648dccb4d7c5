//! Whether the loader's own list says what the plugin believes to be loaded.

use std::ops::Range;

use rendezvous::{Head, Location, Memory, Process, Rendezvous, State};

/// Whether each of these images is in the loader's list, once; `None` if the list cannot be read,
/// as in a sandbox, or another thread is changing it.
pub(crate) fn has_each_once<'a>(
    images: impl IntoIterator<Item = &'a Range<usize>>,
) -> Option<bool> {
    let process = Process::own().ok()?;
    let Location::Found(rendezvous) = process.locate().ok()? else { return None };
    let heads = settled(&rendezvous, &process)?;
    let mut verdict = true;
    for image in images {
        let mut count = 0;
        for head in &heads {
            count += count_in(&process, head, image)?;
        }
        verdict &= count == 1;
    }
    (settled(&rendezvous, &process)? == heads).then_some(verdict)
}

/// The lists' heads, if the loader is not at work.
fn settled(rendezvous: &Rendezvous, process: &Process) -> Option<Vec<Head>> {
    let heads = rendezvous.heads(process).ok()?;
    heads.iter().all(|head| head.state == State::Consistent).then_some(heads)
}

/// How many modules of a list have their dynamic table in an image.
///
/// Nodes are read one by one and not kept: a copy of them would leave addresses of images on the
/// heap, where the search for what still refers to an image finds them.
fn count_in(process: &Process, head: &Head, image: &Range<usize>) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    let (mut at, mut previous, mut count) = (head.first, 0, 0);
    for _ in 0..MOST_MODULES {
        if at == 0 {
            return Some(count);
        }
        let mut node = [0; 5 * WORD];
        process.read_exact_at(at, &mut node).ok()?;
        let word = |index: usize| {
            let bytes = node.get(index * WORD..(index + 1) * WORD)?;
            Some(usize::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (dynamic, next, back) = (word(2)?, word(3)?, word(4)?);
        if back as u64 != previous {
            return None;
        }
        count += usize::from(image.contains(&dynamic));
        (previous, at) = (at, next as u64);
    }
    None
}

/// More than any process has.
const MOST_MODULES: usize = 1 << 16;

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
