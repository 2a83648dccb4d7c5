//! Where a change is noticed.

use std::fmt;

use super::means::Place;
use crate::image::LoadedImage;
use crate::list::Head;
use crate::locate::Rendezvous;
use crate::mapping::Mappings;
use crate::memory::Memory;
use crate::probe::Probe;
use crate::sys::Process;

/// The place in the loader that a target passes whenever its modules have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Site {
    /// The loader's own [`Probe`]s `init_complete`, `map_complete` and `unmap_complete`, which are
    /// passed when a change is done: once for each change, where the function is called twice.
    ///
    /// glibc has them if it was built so (`--enable-systemtap`), as Fedora's and Red Hat's are, and
    /// Debian's is not; other loaders have none. They are read from the loader's file, which has to
    /// be there still, and to be the one that is mapped. Probes that the target
    /// skips unless its memory is changed (by a [semaphore](Probe::semaphore)) are not used.
    Probes,
    /// The function that every loader calls before each change and after it:
    /// [`Head::breakpoint`].
    Function,
}

impl Site {
    /// Both of them, the better one first.
    pub const ALL: [Site; 2] = [Site::Probes, Site::Function];

    /// Its name: `probes`, `function`.
    pub fn as_str(self) -> &'static str {
        match self {
            Site::Probes => "probes",
            Site::Function => "function",
        }
    }

    /// How often a target passes it for one change.
    pub(super) fn passes(self) -> u32 {
        match self {
            Site::Probes => 1,
            Site::Function => 2,
        }
    }

    /// Where that is in a process; nowhere if its loader has none.
    pub(super) fn places(
        self,
        process: &Process,
        rendezvous: &Rendezvous,
        heads: &[Head],
    ) -> Vec<Place> {
        let addresses = match self {
            Site::Probes => probes(process, rendezvous).unwrap_or_default(),
            Site::Function => heads.first().map(|head| head.breakpoint).into_iter().collect(),
        };
        addresses.into_iter().map(|address| place(process, address)).collect()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(super) fn place(process: &Process, address: u64) -> Place {
    let mut text = [0; 8];
    process.read_up_to(address, &mut text);
    let mapping = process.mappings().ok().and_then(|it| it.mapping_at(address));
    Place { address, text, mapping }
}

/// The addresses of the loader's probes behind each change, if it has all that it takes.
fn probes(process: &Process, rendezvous: &Rendezvous) -> Option<Vec<u64>> {
    let start = rendezvous.loader?;
    let file = process.file_mapped_at(start)?;
    let (mut mapped, mut there) = ([0; HEADERS], [0; HEADERS]);
    process.read_exact_at(start, &mut mapped).ok()?;
    file.read_exact_at(0, &mut there).ok()?;
    if mapped != there {
        return None;
    }
    let image = LoadedImage::by_header(process, start)?;
    addresses(&Probe::all_of(&file), &image)
}

fn addresses(probes: &[Probe], image: &LoadedImage) -> Option<Vec<u64>> {
    let mut addresses = Vec::new();
    for (name, is_needed) in COMPLETE {
        let of_name = probes.iter().filter(|it| it.provider == b"rtld" && it.name == name);
        let before = addresses.len();
        for probe in of_name {
            let address = image.layout.add(image.bias, probe.address);
            if probe.semaphore != 0 || !image.is_text(address) {
                return None;
            }
            addresses.push(address);
        }
        if is_needed && addresses.len() == before {
            return None;
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    (addresses.len() <= MOST_PLACES).then_some(addresses)
}

/// The probes, and whether there is no doing without: the first is passed before the program
/// begins, and never again.
const COMPLETE: [(&[u8], bool); 3] =
    [(b"init_complete", false), (b"map_complete", true), (b"unmap_complete", true)];

/// A loader has a few: each is looked up in the target, and watched in each of its threads.
const MOST_PLACES: usize = 32;

/// ELF header, program headers and build ID: what is the same there is the same file.
const HEADERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Segment;
    use crate::layout::Layout;

    fn image() -> LoadedImage {
        let text = Segment {
            kind: 1,
            flags: 5,
            offset: 0x1000,
            address: 0x1000,
            file_size: 0x100,
            memory_size: 0x100,
            align: 0x1000,
        };
        let data = Segment { flags: 6, address: 0x3000, ..text };
        LoadedImage { layout: Layout::NATIVE, bias: 0x70_0000, segments: vec![text, data] }
    }

    fn probe(name: &str, address: u64) -> Probe {
        Probe {
            provider: b"rtld".to_vec(),
            name: name.as_bytes().to_vec(),
            address,
            semaphore: 0,
            arguments: Vec::new(),
        }
    }

    #[test]
    fn all_places_of_the_completed_changes_are_used_and_no_others() {
        let mut probes = vec![
            probe("unmap_complete", 0x1010),
            probe("map_start", 0x1020),
            probe("map_complete", 0x1030),
            probe("map_complete", 0x1000),
            probe("map_complete", 0x1000),
            Probe { provider: b"libc".to_vec(), ..probe("map_complete", 0x1040) },
        ];
        let expected = [0x70_1000, 0x70_1010, 0x70_1030];
        assert_eq!(addresses(&probes, &image()).unwrap(), expected);
        probes.push(probe("init_complete", 0x10ff));
        assert_eq!(addresses(&probes, &image()).unwrap(), [&expected[..], &[0x70_10ff]].concat());
    }

    #[test]
    fn without_one_of_them_or_with_one_that_is_no_such_place_none_is_used() {
        let both = [probe("map_complete", 0x1000), probe("unmap_complete", 0x1001)];
        assert!(addresses(&both, &image()).is_some());
        assert_eq!(addresses(&both[..1], &image()), None);
        assert_eq!(addresses(&both[1..], &image()), None);
        assert_eq!(addresses(&[], &image()), None);
        for address in [0xfff, 0x1100, 0x3000, u64::MAX] {
            let elsewhere = [both[0].clone(), probe("unmap_complete", address)];
            assert_eq!(addresses(&elsewhere, &image()), None, "{address:#x}");
        }
        let many = (0..=MOST_PLACES as u64).map(|at| probe("unmap_complete", 0x1000 + at));
        let many: Vec<Probe> = many.chain([both[0].clone()]).collect();
        assert_eq!(addresses(&many, &image()), None);
        assert!(addresses(&many[2..], &image()).is_some());
        let skipped = Probe { semaphore: 0x3000, ..both[1].clone() };
        assert_eq!(addresses(&[both[0].clone(), skipped], &image()), None);
    }
}
