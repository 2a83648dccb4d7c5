//! The loaded images, kept up to date.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Module;

/// A list of loaded images that changes.
///
/// Whoever learns that an image has come or gone tells it; readers take a [`Modules`], which does
/// not change, and ask [`generation`](Registry::generation) whether there is a newer one.
///
/// ```
/// use macho_sections::sys::Registry;
///
/// static LIST: Registry = Registry::new();
/// let before = LIST.modules();
/// assert_eq!(LIST.generation(), before.generation());
/// assert_eq!(before.at(0x1000), None);
/// ```
#[derive(Debug)]
pub struct Registry {
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    modules: Vec<Arc<Module>>,
    /// The list as it was last given out, unless it has changed since.
    current: Option<Arc<Modules>>,
}

impl Registry {
    /// An empty list.
    pub const fn new() -> Registry {
        Registry {
            generation: AtomicU64::new(0),
            state: Mutex::new(State { modules: Vec::new(), current: None }),
        }
    }

    /// Adds an image. One with the same header takes the place of the other, whose removal has been
    /// missed.
    pub fn add(&self, module: Module) {
        let mut state = self.state();
        let known = state.modules.iter().position(|other| other.header == module.header);
        match known.and_then(|index| state.modules.get_mut(index)) {
            Some(place) => *place = Arc::new(module),
            None => state.modules.push(Arc::new(module)),
        }
        self.changed(&mut state);
    }

    /// Takes out the image whose header is at an address.
    pub fn remove(&self, header: usize) {
        let mut state = self.state();
        state.modules.retain(|module| module.header != header);
        self.changed(&mut state);
    }

    /// A number that is another one after images have come or gone.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The list as it is now. It is sorted by the first who asks after a change.
    pub fn modules(&self) -> Arc<Modules> {
        let mut state = self.state();
        let State { modules, current } = &mut *state;
        // The number moves under the lock only.
        let generation = self.generation();
        Arc::clone(current.get_or_insert_with(|| Arc::new(Modules::new(generation, modules))))
    }

    fn changed(&self, state: &mut State) {
        state.current = None;
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

/// The images that were loaded at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    generation: u64,
    modules: Vec<Arc<Module>>,
    /// Where each mapped segment starts, ascending.
    starts: Vec<usize>,
    /// Where each ends, and which module's it is.
    ends: Vec<(usize, usize)>,
}

impl Modules {
    fn new(generation: u64, modules: &[Arc<Module>]) -> Modules {
        let mut segments: Vec<(usize, usize, usize)> = modules
            .iter()
            .enumerate()
            .flat_map(|(index, module)| {
                module.mapped().map(move |it| (it.range.start, it.range.end, index))
            })
            .collect();
        segments.sort_unstable();
        Modules {
            generation,
            modules: modules.to_vec(),
            starts: segments.iter().map(|&(start, _, _)| start).collect(),
            ends: segments.iter().map(|&(_, end, index)| (end, index)).collect(),
        }
    }

    /// The [generation](Registry::generation) that the list is of.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The images, in the order in which they were told of.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Module>> {
        self.modules.iter()
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The image that an address is in.
    pub fn at(&self, address: usize) -> Option<&Arc<Module>> {
        let position = self.starts.partition_point(|&start| start <= address).checked_sub(1)?;
        let &(end, index) = self.ends.get(position)?;
        if address < end { self.modules.get(index) } else { None }
    }
}
