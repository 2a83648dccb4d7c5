//! What must hold for every input: the fuzzer and the plain tests call the same function.

use std::cell::Cell;
use std::collections::HashSet;

use crate::identify::{MOST_BYTES, MOST_OF_MODULE};
use crate::{
    Auxv, Bytes, Class, Consistency, Core, Endian, Extension, Layout, Location, MappingTable,
    Memory, Probe, ReadError, Rendezvous, Snapshot, Startup, System, Tracker,
};

/// Takes the bytes for a core file if they begin as one, and otherwise for the memory of a target
/// behind a [`PREFIX`] that says where to begin in it; reads everything that there is to read of
/// it, and checks what must be true of any.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn rendezvous_walk(bytes: &[u8]) {
    let file: Bytes<'_> = [(0, bytes)].into_iter().collect();
    if bytes.starts_with(b"\x7fELF") {
        let probes = Probe::all_of(&file);
        for probe in &probes {
            let strings = [&probe.provider, &probe.name, &probe.arguments];
            assert!(strings.iter().all(|it| memchr::memmem::find(bytes, it).is_some()));
        }
        match Core::parse(bytes) {
            Ok(mut core) => {
                core.supply(b"/lib/a.so", bytes);
                walk(&core, core.startup(), core.mappings(), &file);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    } else if let Some((startup, memory)) = target(bytes) {
        walk(&memory, &startup, &MappingTable::default(), &file);
    }
}

/// The size of what goes before the memory of a target: a byte of flags (1: 64 bits, 2: big
/// endian, 4: FreeBSD, 8: FreeBSD 13), a byte that is the number of program headers, and the
/// addresses of those, the loader, the entry point and the kernel's image, as big-endian halves
/// counted from [`START`], 0 for none.
pub const PREFIX: usize = 10;

/// The address of the memory.
pub const START: u64 = 0x1_0000;

fn target(bytes: &[u8]) -> Option<(Startup, Bytes<'_>)> {
    let (prefix, memory) = bytes.split_at_checked(PREFIX)?;
    let &[flags, phnum, ref places @ ..] = prefix else { return None };
    let address = |index: usize| {
        let place = places.chunks_exact(2).nth(index)?;
        let place = u64::from(u16::from_be_bytes(place.try_into().ok()?));
        (place != 0).then(|| START.saturating_add(place))
    };
    let startup = Startup {
        layout: Layout {
            class: if flags & 1 == 0 { Class::Elf32 } else { Class::Elf64 },
            endian: if flags & 2 == 0 { Endian::Little } else { Endian::Big },
        },
        system: if flags & 4 == 0 { System::Linux } else { System::FreeBsd },
        auxv: Auxv {
            phdr: address(0),
            phent: None,
            phnum: Some(u64::from(phnum)),
            base: address(1),
            entry: address(2).or(Some(START)),
            sysinfo_ehdr: address(3),
            freebsd_release: (flags & 8 != 0).then_some(1_300_000),
            random: None,
        },
    };
    Some((startup, [(START, memory)].into_iter().collect()))
}

fn walk<M: Memory>(memory: &M, startup: &Startup, mappings: &MappingTable, file: &dyn Memory) {
    let rendezvous = match Rendezvous::locate(memory, startup, Some(file)) {
        Ok(Location::Found(rendezvous)) => rendezvous,
        Ok(Location::NotYet { .. }) => return,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let snapshot = rendezvous.snapshot(memory);
    assert_eq!(snapshot, rendezvous.snapshot(memory));
    assert_ne!(snapshot.consistency, Consistency::Torn);
    assert!(snapshot.modules().count() <= 1 << 16 && snapshot.namespaces.len() <= 1024);
    for namespace in &snapshot.namespaces {
        let nodes: HashSet<u64> = namespace.modules.iter().map(|module| module.link_map).collect();
        assert_eq!(nodes.len(), namespace.modules.len(), "a node was visited twice");
    }
    assert!(snapshot.modules().flat_map(|module| &module.name).all(|name| name.len() < 4096));
    match &snapshot.problem {
        Some(problem) => assert!(!problem.to_string().is_empty()),
        None => appended_modules_are_found(&rendezvous, memory, &snapshot),
    }
    a_simple_walk_agrees(&rendezvous, memory, &snapshot);
    a_tracker_follows(&snapshot);

    if let Ok(storage) = rendezvous.thread_storage(memory, &snapshot) {
        for module in snapshot.modules().take(MOST) {
            for thread in [START, module.link_map] {
                let _ = storage.address(memory, module, thread, 8);
            }
        }
    }
    resolving_ends(memory, mappings, snapshot);
}

/// Neither one module nor all together have more read than is promised, and what is found of one
/// alone is found of it among the others.
fn resolving_ends<M: Memory>(memory: &M, mappings: &MappingTable, mut snapshot: Snapshot) {
    let mut alone = snapshot.clone();
    let counted = Counted { memory, read: Cell::new(0) };
    snapshot.resolve(&counted, mappings);
    let read = counted.read.get();
    assert!(read <= MOST_BYTES, "{read} bytes");
    for (alone, among_others) in alone.modules_mut().zip(snapshot.modules()).take(MOST) {
        let counted = Counted { memory, read: Cell::new(0) };
        alone.resolve(&counted, mappings);
        assert!(counted.read.get() <= MOST_OF_MODULE, "{} bytes", counted.read.get());
        assert!(alone.build_id.as_ref().is_none_or(|id| id.len() <= 64 * 1024));
        if read <= MOST_BYTES / 2 {
            assert_eq!(alone, among_others);
        }
    }
}

/// Memory that counts what is asked of it.
struct Counted<'memory, M> {
    memory: &'memory M,
    read: Cell<usize>,
}

impl<M: Memory> Memory for Counted<'_, M> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.read.set(self.read.get().saturating_add(buffer.len()));
        self.memory.read_exact_at(address, buffer)
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        self.read.set(self.read.get().saturating_add(buffer.len()));
        self.memory.read_up_to(address, buffer)
    }
}

/// Forgetting the ends of the lists, and reading what was appended since, gives the same again.
fn appended_modules_are_found<M: Memory>(rendezvous: &Rendezvous, memory: &M, snapshot: &Snapshot) {
    for keep in [0, 1, 2] {
        let mut earlier = snapshot.clone();
        for namespace in &mut earlier.namespaces {
            namespace.modules.truncate((namespace.modules.len() / 2).saturating_mul(keep));
        }
        let missing = snapshot.modules().count().saturating_sub(earlier.modules().count());
        match rendezvous.extend(memory, &mut earlier) {
            Extension::Added(added) => {
                assert_eq!(added, missing);
                assert!(earlier.modules().eq(snapshot.modules()));
            }
            // The loader's own count, which may be anything here, says otherwise.
            Extension::Reread => assert!(rendezvous.notices_removals()),
        }
    }
}

/// The nodes are those that are found word by word, with all that were seen remembered.
fn a_simple_walk_agrees<M: Memory>(rendezvous: &Rendezvous, memory: &M, snapshot: &Snapshot) {
    let layout = rendezvous.layout;
    let word = |address: u64| {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..layout.word_size())?;
        memory.read_exact_at(address, bytes).ok()?;
        layout.word(bytes, 0)
    };
    // From a node to what leads to the next and the previous one.
    let links = rendezvous.node_layout.link_places().map(|place| layout.word_address(0, place));
    for namespace in &snapshot.namespaces {
        let mut seen = HashSet::new();
        let mut address = namespace.head.first;
        let mut previous = 0;
        for module in &namespace.modules {
            assert_eq!(module.link_map, address);
            assert!(seen.insert(address));
            let [next, back] = links.map(|link| word(layout.add(address, link)));
            assert_eq!(back, Some(previous));
            (previous, address) = (address, next.unwrap_or_default());
        }
        // A list ends where it ends, or something is wrong with it.
        assert!(address == 0 || snapshot.problem.is_some());
    }
}

fn a_tracker_follows(snapshot: &Snapshot) {
    let mut tracker = Tracker::new();
    tracker.update(snapshot.clone());
    assert_eq!(tracker.added().len(), snapshot.modules().count());
    assert_eq!(tracker.removed().len(), 0);
    tracker.update(snapshot.clone());
    assert!(tracker.added().is_empty() && tracker.removed().is_empty());
    tracker.reset();
    assert_eq!(tracker.removed().len(), snapshot.modules().count());
}

/// As many modules as are looked at one by one.
const MOST: usize = 256;
