//! Where a target's loader keeps its lists.

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use object::elf;

use crate::count::Counts;
use crate::error::LocateError;
use crate::image::{Entry, Header, LoadedImage};
use crate::layout::Layout;
use crate::list::{Head, NodeLayout};
use crate::memory::Memory;
use crate::module::Role;
use crate::startup::{Startup, System};
use crate::symbols::{dynamic_symbol, file_symbol};

/// A loader's lists: where they begin and how to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendezvous {
    /// How the target's structures are laid out.
    pub layout: Layout,
    /// The address of `struct r_debug` of the first namespace.
    pub r_debug: u64,
    /// What told it.
    pub way: Way,
    pub(crate) node_layout: NodeLayout,
    pub(crate) landmarks: Landmarks,
    pub(crate) counts: Option<Counts>,
    /// Where the loader's image begins; `None` if it is a part of the program's.
    pub(crate) loader: Option<u64>,
    pub(crate) trail: Trail,
}

/// Where the lists are, or when they will be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// They are there.
    Found(Rendezvous),
    /// The loader has not run yet.
    NotYet {
        /// The address at which to stop the target, or to wait for it: the lists are there when
        /// it is reached. It is the program's entry point; in a static program, in which the
        /// loader begins when it is first needed, the function that the loader calls at each
        /// change.
        wait_at: u64,
    },
}

/// What told where a loader's lists are, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Way {
    /// The program's `DT_DEBUG`, `DT_MIPS_RLD_MAP` or `DT_MIPS_RLD_MAP_REL`.
    DynamicTable,
    /// The loader's own symbol: the program has no such entry.
    LoaderSymbol,
    /// The loader's own symbol, the loader being what was executed (`ld.so ./program`).
    ExecutedLoaderSymbol,
    /// The symbol in the executable's file, which is static and has a loader in it.
    StaticSymbol,
}

impl Location {
    /// The lists, if they are there.
    pub fn found(self) -> Option<Rendezvous> {
        match self {
            Location::Found(rendezvous) => Some(rendezvous),
            Location::NotYet { .. } => None,
        }
    }
}

impl Rendezvous {
    /// Finds a target's lists.
    ///
    /// The program's dynamic table is asked first, then the symbols of the loader: a program that
    /// defines `_r_debug` itself, or has a copy of the loader's, does not lead astray.
    ///
    /// `executable` is the file that was executed, as memory whose addresses are its offsets. It
    /// is read only if the program is static: nothing but its symbols tells then whether there is
    /// a loader in it.
    ///
    /// # Errors
    ///
    /// If the memory needed for it cannot be read, or there is no loader, or it hides its lists.
    pub fn locate<M: Memory + ?Sized>(
        memory: &M,
        startup: &Startup,
        executable: Option<&dyn Memory>,
    ) -> Result<Location, LocateError> {
        let auxv = &startup.auxv;
        let table = auxv.phdr.ok_or(LocateError::Auxv { entry: "AT_PHDR" })?;
        let count = auxv.phnum.ok_or(LocateError::Auxv { entry: "AT_PHNUM" })?;
        let entry = auxv.entry.ok_or(LocateError::Auxv { entry: "AT_ENTRY" })?;
        let layout = startup.layout;
        let program = LoadedImage::by_program_headers(memory, layout, table, count)
            .map_err(LocateError::unreadable("program headers"))?;
        let loader = auxv.interpreter().and_then(|base| LoadedImage::by_header(memory, base));
        let entries = program.entries(memory).map_err(LocateError::unreadable("dynamic table"))?;

        let search = Search {
            memory,
            startup,
            landmarks: Landmarks {
                program_headers: table,
                program: program.dynamic(),
                loader: loader.as_ref().and_then(LoadedImage::dynamic),
                loader_bias: auxv.interpreter().filter(|_| loader.is_none()),
                kernel: auxv
                    .sysinfo_ehdr
                    .and_then(|address| LoadedImage::by_header(memory, address)?.range()),
            },
            node_layout: node_layout(memory, startup, table),
            // Where nobody loads what was executed, that may be the loader.
            counts: counts(memory, loader.as_ref().unwrap_or(&program)),
            loader: loader.as_ref().and_then(LoadedImage::start),
        };
        let candidates = dynamic_table(memory, layout, &entries);
        if let Some(r_debug) = candidates.address {
            return Ok(search.found(r_debug, Way::DynamicTable, entry));
        }
        if let Some(loader) = loader {
            let entries = loader.entries(memory).unwrap_or_default();
            return match symbol(memory, &loader, &entries) {
                Some(r_debug) => Ok(search.found(r_debug, Way::LoaderSymbol, entry)),
                None if candidates.is_announced => Ok(Location::NotYet { wait_at: entry }),
                None => Err(LocateError::NoList),
            };
        }
        // Nobody loads what was executed: it is static, or a loader.
        if !candidates.is_announced
            && let Some(r_debug) = symbol(memory, &program, &entries)
        {
            let start = program.start();
            return Ok(search.executed_loader(start).found(
                r_debug,
                Way::ExecutedLoaderSymbol,
                entry,
            ));
        }
        let at = |name| {
            let value = file_symbol(executable?, name)?;
            Some(layout.add(program.bias, value))
        };
        match at(b"_r_debug") {
            Some(r_debug) => {
                let wait_at = at(b"_dl_debug_state").unwrap_or(entry);
                Ok(search.found(r_debug, Way::StaticSymbol, wait_at))
            }
            None if candidates.is_announced => Ok(Location::NotYet { wait_at: entry }),
            None => Err(LocateError::Static),
        }
    }
}

struct Search<'search, M: ?Sized> {
    memory: &'search M,
    startup: &'search Startup,
    landmarks: Landmarks,
    node_layout: NodeLayout,
    counts: Option<Counts>,
    loader: Option<u64>,
}

impl<M: Memory + ?Sized> Search<'_, M> {
    /// The lists whose head is there, if the loader has filled it.
    fn found(self, r_debug: u64, way: Way, wait_at: u64) -> Location {
        let layout = self.startup.layout;
        match Head::read(self.memory, layout, r_debug) {
            Ok(head) if head.first == 0 || head.breakpoint == 0 => Location::NotYet { wait_at },
            _ => Location::Found(Rendezvous {
                layout,
                r_debug,
                way,
                node_layout: self.node_layout,
                landmarks: self.landmarks,
                counts: self.counts,
                loader: self.loader,
                trail: Trail::default(),
            }),
        }
    }

    /// What was executed is the loader; which image is the program, only its list says.
    fn executed_loader(self, start: Option<u64>) -> Self {
        let landmarks =
            Landmarks { program: None, loader: self.landmarks.program, ..self.landmarks };
        Search { landmarks, loader: start, ..self }
    }
}

/// Where everything was when the lists were read last, if that was not too much: the next time it
/// is read first, all at once. It changes how fast they are read, and nothing else.
#[derive(Default)]
pub(crate) struct Trail(Mutex<Option<Vec<Range<u64>>>>);

impl Trail {
    pub(crate) fn take(&self) -> Option<Vec<Range<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn keep(&self, ranges: Option<Vec<Range<u64>>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ranges;
    }
}

impl Clone for Trail {
    fn clone(&self) -> Trail {
        Trail::default()
    }
}

impl PartialEq for Trail {
    fn eq(&self, _: &Trail) -> bool {
        true
    }
}

impl Eq for Trail {}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

/// Addresses by which images are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Landmarks {
    /// Where the program headers of what was executed are.
    pub(crate) program_headers: u64,
    /// Where the dynamic tables of program and loader are.
    program: Option<u64>,
    loader: Option<u64>,
    /// Where a loader is whose headers cannot be read: its own addresses begin at 0.
    loader_bias: Option<u64>,
    /// What the kernel's image occupies. The loader may have its table moved, within it.
    pub(crate) kernel: Option<Range<u64>>,
}

impl Landmarks {
    pub(crate) fn role(&self, bias: u64, dynamic: u64, is_first: bool) -> Role {
        if self.kernel.as_ref().is_some_and(|kernel| kernel.contains(&dynamic)) {
            return Role::Kernel;
        }
        if self.program == Some(dynamic) || (self.program.is_none() && is_first) {
            return Role::Program;
        }
        if self.loader == Some(dynamic) || self.loader_bias == Some(bias) {
            return Role::Loader;
        }
        Role::Library
    }
}

/// What a program's dynamic table says.
struct Announcement {
    /// Whether it has an entry for the purpose.
    is_announced: bool,
    /// What the loader has written there.
    address: Option<u64>,
}

fn dynamic_table<M: Memory + ?Sized>(
    memory: &M,
    layout: Layout,
    entries: &[Entry],
) -> Announcement {
    let pointer = |address: u64| {
        let mut word = [0; 8];
        let word = word.get_mut(..layout.word_size())?;
        memory.read_exact_at(address, word).ok()?;
        layout.word(word, 0)
    };
    let mut announcement = Announcement { is_announced: false, address: None };
    for entry in entries {
        let address = match entry.tag {
            DT_DEBUG => Some(entry.value),
            DT_MIPS_RLD_MAP => pointer(entry.value),
            DT_MIPS_RLD_MAP_REL => pointer(layout.add(entry.address, entry.value)),
            _ => continue,
        };
        announcement.is_announced = true;
        announcement.address = announcement.address.or(address.filter(|&address| address != 0));
    }
    announcement
}

/// The head of the lists by a loader's own symbols; musl's is a pointer to it.
fn symbol<M: Memory + ?Sized>(memory: &M, loader: &LoadedImage, entries: &[Entry]) -> Option<u64> {
    if let Some(address) = dynamic_symbol(memory, loader, entries, b"_r_debug") {
        return Some(address);
    }
    let pointer = dynamic_symbol(memory, loader, entries, b"_dl_debug_addr")?;
    let mut word = [0; 8];
    let word = word.get_mut(..loader.layout.word_size())?;
    memory.read_exact_at(pointer, word).ok()?;
    loader.layout.word(word, 0)
}

fn counts<M: Memory + ?Sized>(memory: &M, loader: &LoadedImage) -> Option<Counts> {
    let entries = loader.entries(memory).ok()?;
    let namespaces = dynamic_symbol(memory, loader, &entries, b"_rtld_global")?;
    Some(Counts { namespaces })
}

fn node_layout<M: Memory + ?Sized>(memory: &M, startup: &Startup, table: u64) -> NodeLayout {
    if startup.system != System::FreeBsd {
        return NodeLayout::SystemV;
    }
    let header = Header::before(memory, startup.layout, table);
    let is_mips = header.is_some_and(|header| header.machine == elf::EM_MIPS.0);
    match startup.auxv.freebsd_release {
        Some(release) if release >= 1_300_000 => NodeLayout::FreeBsd13(is_mips),
        _ if is_mips => NodeLayout::OldMipsBsd,
        _ => NodeLayout::SystemV,
    }
}

const DT_DEBUG: u64 = elf::DT_DEBUG.0 as u64;
const DT_MIPS_RLD_MAP: u64 = elf::DT_MIPS_RLD_MAP.0 as u64;
const DT_MIPS_RLD_MAP_REL: u64 = elf::DT_MIPS_RLD_MAP_REL.0 as u64;
