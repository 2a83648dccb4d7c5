//! Which object file each function and variable came from: the linker's notes for debuggers.

use std::collections::HashMap;

use crate::{Error, Image, Symbol, SymbolKind};

/// An object file that the image was linked from, with what it contributed.
///
/// Its debugging information was left in it: whoever wants that opens [`object`](Self::object).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugObject<'data> {
    /// The directory it was compiled in, with a slash at its end; empty if there is no note.
    pub directory: &'data [u8],
    /// The source file.
    pub source: &'data [u8],
    /// The path of the object file, or of the archive it is in.
    pub object: &'data [u8],
    /// Its name in the archive, from a path such as `libx.a(y.o)`.
    pub member: Option<&'data [u8]>,
    /// When the object file was last changed, in seconds since 1970; `None` where the linker wrote
    /// zero for the sake of reproducible builds.
    pub modified: Option<u64>,
    /// Its functions.
    pub functions: Vec<DebugFunction<'data>>,
    /// Its variables.
    pub variables: Vec<DebugVariable<'data>>,
}

/// A function that an object file contributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DebugFunction<'data> {
    /// The name of its symbol.
    pub name: &'data [u8],
    /// Its address, before the slide is added.
    pub address: u64,
    /// How many bytes of code it has.
    pub size: u64,
}

/// A variable that an object file contributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DebugVariable<'data> {
    /// The name of its symbol.
    pub name: &'data [u8],
    /// Its address, before the slide is added. The note of a global variable has none: it is then
    /// that of the symbol of this name, and `None` if the table has been stripped of it.
    pub address: Option<u64>,
    /// Whether other object files see it.
    pub is_global: bool,
}

impl<'data> Image<'data> {
    /// The object files that the image was linked from, in the order of their notes. Empty for one
    /// that was linked without debugging information, or stripped.
    ///
    /// # Errors
    ///
    /// As [`symbols`](Image::symbols).
    pub fn debug_map(&self) -> Result<Vec<DebugObject<'data>>, Error> {
        let mut reader = Reader::default();
        for symbol in self.symbols()? {
            if let SymbolKind::Note(kind, _) = symbol.kind {
                reader.note(kind, &symbol);
            }
        }
        let mut objects = reader.objects;
        if reader.has_globals {
            self.find_globals(&mut objects)?;
        }
        Ok(objects)
    }

    fn find_globals(&self, objects: &mut [DebugObject<'data>]) -> Result<(), Error> {
        let globals = self.symbols()?.filter(|it| it.is_external && it.is_defined());
        let addresses: HashMap<_, _> = globals.map(|it| (it.name, it.address)).collect();
        let variables = objects.iter_mut().flat_map(|object| &mut object.variables);
        for variable in variables.filter(|variable| variable.is_global) {
            variable.address = addresses.get(variable.name).copied();
        }
        Ok(())
    }
}

/// What the notes so far have said.
#[derive(Default)]
struct Reader<'data> {
    objects: Vec<DebugObject<'data>>,
    /// The notes of a source file: its directory, its name.
    sources: [&'data [u8]; 2],
    is_in_object: bool,
    /// A function whose size has not come yet.
    function: Option<(&'data [u8], u64)>,
    has_globals: bool,
}

impl<'data> Reader<'data> {
    fn note(&mut self, kind: u8, symbol: &Symbol<'data>) {
        match kind {
            N_SO => {
                // One without a name ends the unit; of two with names the first is the directory.
                self.is_in_object = false;
                let [_, last] = self.sources;
                self.sources =
                    if symbol.name.is_empty() { [&[], &[]] } else { [last, symbol.name] };
            }
            N_OSO => {
                let [directory, source] = self.sources;
                let (object, member) = split_member(symbol.name);
                self.objects.push(DebugObject {
                    directory,
                    source,
                    object,
                    member,
                    modified: Some(symbol.address).filter(|&time| time != 0),
                    functions: Vec::new(),
                    variables: Vec::new(),
                });
                self.is_in_object = true;
                self.sources = [&[], &[]];
            }
            _ if !self.is_in_object => {}
            N_FUN if symbol.name.is_empty() => {
                let started = self.function.take();
                if let (Some((name, address)), Some(object)) = (started, self.objects.last_mut()) {
                    object.functions.push(DebugFunction { name, address, size: symbol.address });
                }
            }
            N_FUN => self.function = Some((symbol.name, symbol.address)),
            N_STSYM | N_GSYM => {
                let is_global = kind == N_GSYM;
                let address = (!is_global).then_some(symbol.address);
                self.has_globals |= is_global;
                if let Some(object) = self.objects.last_mut() {
                    object.variables.push(DebugVariable { name: symbol.name, address, is_global });
                }
            }
            _ => {}
        }
    }
}

/// `libx.a(y.o)` is `y.o` in `libx.a`.
fn split_member(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let inner = path.strip_suffix(b")").and_then(|path| {
        let open = path.iter().rposition(|&byte| byte == b'(')?;
        Some((path.get(..open)?, path.get(open.checked_add(1)?..)?))
    });
    match inner {
        Some((archive, member)) if !archive.is_empty() => (archive, Some(member)),
        _ => (path, None),
    }
}

const N_GSYM: u8 = 0x20;
const N_FUN: u8 = 0x24;
const N_STSYM: u8 = 0x26;
const N_SO: u8 = 0x64;
const N_OSO: u8 = 0x66;
