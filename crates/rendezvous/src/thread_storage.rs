//! Where a thread has its own copy of a variable.

use object::elf;

use crate::image::{Entry, Header, LoadedImage};
use crate::layout::Layout;
use crate::locate::Rendezvous;
use crate::memory::{Memory, ReadError};
use crate::module::Module;
use crate::snapshot::Snapshot;
use crate::symbols::dynamic_symbol;

/// How glibc keeps thread-local storage, as its symbols for debuggers (`_thread_db_*`) say: they
/// are of the very library that the process has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadStorage {
    layout: Layout,
    /// From a thread's pointer to the pointer to its vector.
    vector: u64,
    entry_size: u64,
    /// From a vector's entry to the pointer in it, and to the counter in the first.
    pointer: u64,
    counter: u64,
    module_number: Field,
    /// Where a module's block is, from the thread's pointer, if all threads have it there.
    fixed: Field,
    /// Whether such blocks are below the thread's pointer.
    is_below: bool,
    slots: Slots,
}

/// Why a thread's copy of a variable was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadStorageError {
    /// No module says how storage is kept: the process runs under another library than glibc.
    #[error("no module defines the _thread_db_ symbols, which say where it is")]
    Unknown,
    /// The processor's threads keep it in another way than is known here.
    #[error("not known for machine {machine}")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// The module has no such variables.
    #[error("the module has no thread-local storage")]
    None,
    /// The thread has not used the module's variables yet, so that it has no copy of them.
    #[error("the thread has no copy of the module's variables yet")]
    NotAllocated,
    /// What leads to it cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

impl Rendezvous {
    /// How the process keeps thread-local storage.
    ///
    /// # Errors
    ///
    /// If no module of the snapshot says.
    pub fn thread_storage<M: Memory + ?Sized>(
        &self,
        memory: &M,
        snapshot: &Snapshot,
    ) -> Result<ThreadStorage, ThreadStorageError> {
        snapshot
            .modules()
            .find_map(|module| {
                let library = Library::new(memory, module)?;
                library.symbol(b"_thread_db_link_map_l_tls_modid")?;
                Some(library)
            })
            .ok_or(ThreadStorageError::Unknown)?
            .storage(self.counts.map(|counts| counts.namespaces))
    }
}

impl ThreadStorage {
    /// The address of a thread's copy of a variable.
    ///
    /// `thread_pointer` is what the processor keeps for the thread (the base of FS on x86-64,
    /// that of GS on i386, `TPIDR_EL0` on AArch64); `offset` is the variable's in its module's
    /// block: the value of its symbol.
    ///
    /// # Errors
    ///
    /// If the module has no such variables, or the thread has no copy of them yet.
    pub fn address<M: Memory + ?Sized>(
        &self,
        memory: &M,
        module: &Module,
        thread_pointer: u64,
        offset: u64,
    ) -> Result<u64, ThreadStorageError> {
        let layout = self.layout;
        let number = self.module_number.read(memory, layout, module.link_map)?;
        if number == 0 {
            return Err(ThreadStorageError::None);
        }
        let block = match self.block_of_vector(memory, module, thread_pointer, number) {
            // The loader gives room beside the program's to small libraries that ask for it by
            // descriptors, and enters it in no vector (glibc's `_dl_try_allocate_static_tls`).
            Err(ThreadStorageError::NotAllocated) => {
                self.fixed_block(memory, module, thread_pointer)?
            }
            other => other?,
        };
        Ok(layout.add(block, offset))
    }

    fn block_of_vector<M: Memory + ?Sized>(
        &self,
        memory: &M,
        module: &Module,
        thread_pointer: u64,
        number: u64,
    ) -> Result<u64, ThreadStorageError> {
        let layout = self.layout;
        let vector = word(memory, layout, layout.add(thread_pointer, self.vector))?;
        // What stands at a number may be of a module that had it before: the vector is as old as
        // it says, the number's use as old as the loader's table says.
        let age = word(memory, layout, layout.add(vector, self.counter))?;
        if self.slots.age(memory, layout, number, module.link_map)? > age {
            return Err(ThreadStorageError::NotAllocated);
        }
        let entry = layout.add(vector, number.wrapping_mul(self.entry_size));
        let block = word(memory, layout, layout.add(entry, self.pointer))?;
        if block == layout.pick(u64::from(u32::MAX), u64::MAX) || block == 0 {
            return Err(ThreadStorageError::NotAllocated);
        }
        Ok(block)
    }

    fn fixed_block<M: Memory + ?Sized>(
        &self,
        memory: &M,
        module: &Module,
        thread_pointer: u64,
    ) -> Result<u64, ThreadStorageError> {
        let layout = self.layout;
        let fixed = self.fixed.read(memory, layout, module.link_map)?;
        // `NO_TLS_OFFSET`, and `FORCED_DYNAMIC_TLS_OFFSET`.
        if fixed == 0 || fixed == layout.pick(u64::from(u32::MAX), u64::MAX) {
            return Err(ThreadStorageError::NotAllocated);
        }
        Ok(match self.is_below {
            true => layout.subtract(thread_pointer, fixed),
            false => layout.add(thread_pointer, fixed),
        })
    }
}

/// The loader's table of which module has which number, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slots {
    /// The address of the pointer to the first piece of the table.
    first: u64,
    length: Field,
    next: Field,
    /// From a piece to its entries, and the size of one.
    entries: u64,
    entry_size: u64,
    age: Field,
    map: Field,
}

impl Slots {
    /// Since when the number is the module's.
    fn age<M: Memory + ?Sized>(
        &self,
        memory: &M,
        layout: Layout,
        number: u64,
        link_map: u64,
    ) -> Result<u64, ThreadStorageError> {
        let mut piece = word(memory, layout, self.first)?;
        let mut index = number;
        for _ in 0..MOST_PIECES {
            if piece == 0 {
                break;
            }
            let length = self.length.read(memory, layout, piece)?;
            if let Some(further) = index.checked_sub(length) {
                index = further;
                piece = self.next.read(memory, layout, piece)?;
                continue;
            }
            let offset = self.entries.wrapping_add(index.wrapping_mul(self.entry_size));
            let entry = layout.add(piece, offset);
            if self.map.read(memory, layout, entry)? != link_map {
                break;
            }
            return Ok(self.age.read(memory, layout, entry)?);
        }
        Err(ThreadStorageError::NotAllocated)
    }
}

/// Where a member is in its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    offset: u64,
    is_half: bool,
}

impl Field {
    fn read<M: Memory + ?Sized>(
        self,
        memory: &M,
        layout: Layout,
        structure: u64,
    ) -> Result<u64, ReadError> {
        let address = layout.add(structure, self.offset);
        if self.is_half { half(memory, layout, address) } else { word(memory, layout, address) }
    }
}

/// The library that says how storage is kept.
struct Library<'memory, M: ?Sized> {
    memory: &'memory M,
    image: LoadedImage,
    entries: Vec<Entry>,
    machine: u16,
}

impl<'memory, M: Memory + ?Sized> Library<'memory, M> {
    fn new(memory: &'memory M, module: &Module) -> Option<Library<'memory, M>> {
        let machine = Header::read(memory, module.bias)?.machine;
        let image = LoadedImage::by_header(memory, module.bias)?;
        let entries = image.entries(memory).ok()?;
        Some(Library { memory, image, entries, machine })
    }

    fn storage(&self, globals: Option<u64>) -> Result<ThreadStorage, ThreadStorageError> {
        let [_, _, vector] = self.description(b"_thread_db_pthread_dtvp")?;
        let vector = match self.machine {
            MACHINE_386 | MACHINE_X86_64 => u64::from(vector),
            // The thread's own structure is before what its pointer points to.
            MACHINE_ARM | MACHINE_AARCH64 => {
                let size = self.number(b"_thread_db_sizeof_pthread")?;
                self.image.layout.subtract(u64::from(vector), u64::from(size))
            }
            machine => return Err(ThreadStorageError::Machine { machine }),
        };
        let globals = globals.ok_or(ThreadStorageError::Unknown)?;
        let [entry_bits, _, _] = self.description(b"_thread_db_dtv_dtv")?;
        let list = self.field(b"_thread_db_rtld_global__dl_tls_dtv_slotinfo_list")?;
        Ok(ThreadStorage {
            layout: self.image.layout,
            vector,
            entry_size: u64::from(entry_bits / 8),
            pointer: self.field(b"_thread_db_dtv_t_pointer_val")?.offset,
            counter: self.field(b"_thread_db_dtv_t_counter")?.offset,
            module_number: self.field(b"_thread_db_link_map_l_tls_modid")?,
            fixed: self.field(b"_thread_db_link_map_l_tls_offset")?,
            is_below: matches!(self.machine, MACHINE_386 | MACHINE_X86_64),
            slots: Slots {
                first: self.image.layout.add(globals, list.offset),
                length: self.field(b"_thread_db_dtv_slotinfo_list_len")?,
                next: self.field(b"_thread_db_dtv_slotinfo_list_next")?,
                entries: self.field(b"_thread_db_dtv_slotinfo_list_slotinfo")?.offset,
                entry_size: u64::from(self.number(b"_thread_db_sizeof_dtv_slotinfo")?),
                age: self.field(b"_thread_db_dtv_slotinfo_gen")?,
                map: self.field(b"_thread_db_dtv_slotinfo_map")?,
            },
        })
    }

    fn symbol(&self, name: &[u8]) -> Option<u64> {
        dynamic_symbol(self.memory, &self.image, &self.entries, name)
    }

    /// A member's size in bits, the number of its elements, and its offset.
    fn description(&self, name: &[u8]) -> Result<[u32; 3], ThreadStorageError> {
        let mut address = self.symbol(name).ok_or(ThreadStorageError::Unknown)?;
        let mut description = [0; 3];
        for number in &mut description {
            *number = self.number_at(address)?;
            address = self.image.layout.add(address, 4);
        }
        Ok(description)
    }

    fn field(&self, name: &[u8]) -> Result<Field, ThreadStorageError> {
        let [bits, _, offset] = self.description(name)?;
        Ok(Field { offset: u64::from(offset), is_half: bits == 32 })
    }

    fn number(&self, name: &[u8]) -> Result<u32, ThreadStorageError> {
        let address = self.symbol(name).ok_or(ThreadStorageError::Unknown)?;
        Ok(self.number_at(address)?)
    }

    fn number_at(&self, address: u64) -> Result<u32, ReadError> {
        let mut bytes = [0; 4];
        self.memory.read_exact_at(address, &mut bytes)?;
        Ok(self.image.layout.u32(&bytes, 0).unwrap_or_default())
    }
}

fn half<M: Memory + ?Sized>(memory: &M, layout: Layout, address: u64) -> Result<u64, ReadError> {
    let mut bytes = [0; 4];
    memory.read_exact_at(address, &mut bytes)?;
    Ok(layout.u32(&bytes, 0).map_or(0, u64::from))
}

fn word<M: Memory + ?Sized>(memory: &M, layout: Layout, address: u64) -> Result<u64, ReadError> {
    let mut bytes = [0; 8];
    let bytes = bytes.get_mut(..layout.word_size()).unwrap_or_default();
    memory.read_exact_at(address, bytes)?;
    Ok(layout.word(bytes, 0).unwrap_or_default())
}

const MACHINE_386: u16 = elf::EM_386.0;
const MACHINE_ARM: u16 = elf::EM_ARM.0;
const MACHINE_X86_64: u16 = elf::EM_X86_64.0;
const MACHINE_AARCH64: u16 = elf::EM_AARCH64.0;
/// A piece holds 64 modules.
const MOST_PIECES: usize = 1024;
