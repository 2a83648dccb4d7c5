//! Names, files and lines for the addresses of a fault, looked up after the fact.
//!
//! The handler records numbers only. Here they are turned into text, from the symbols and the
//! debug information in each module's own file. This allocates and reads files, so it wants a
//! heap that is not tainted; a program that cannot be sure prints the numbers instead.
//!
//! Files are not trusted: a module that was replaced, truncated or stripped gives less text and
//! never a panic. A file that is truncated *while* it is read is another matter: its mapping
//! then raises `SIGBUS`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use addr2line::Loader;

use crate::{Fault, sys};

/// One function that an address is in, with the place in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The file of the module.
    pub module: PathBuf,
    /// How far above the addresses in its file the module is loaded.
    pub bias: usize,
    /// The address in memory. A return address is the instruction after the call; the place is
    /// the call's.
    pub address: usize,
    /// The function's name, demangled.
    pub function: Option<String>,
    /// The source file, as the debug information names it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}

impl Fault {
    /// Where the fault happened and where its frames return to, innermost first. A function
    /// that was inlined into another has a frame of its own, before the one it is in.
    ///
    /// An address that lies in no module is left out.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let modules = sys::modules();
        let mut files = Files::default();
        let mut frames = Vec::new();
        if self.pc != 0 {
            files.look_up_in(&modules, self.pc, false, &mut frames);
        }
        for address in self.return_addresses.as_slice() {
            files.look_up_in(&modules, *address, true, &mut frames);
        }
        frames
    }

    /// Where the fault happened, without the frames above it: the innermost function first,
    /// then those it was inlined into. Nothing for an exception, which has no place but its
    /// [`frames`](Self::frames).
    #[must_use]
    pub fn place(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        Files::default().look_up_in(&sys::modules(), self.pc, false, &mut frames);
        frames
    }
}

/// Looks an address up in a file that the caller knows, such as the original of a module that
/// was loaded from a copy. `bias` is what the loader added to the file's addresses.
///
/// There is always a frame, if only with the module and the address in it.
///
/// ```no_run
/// let frames = crash_guard::symbolize::resolve("guest.so".as_ref(), 0x7f00_0000_0000, 0x7f00_0000_1234, false);
/// println!("{:?} {:?}:{:?}", frames[0].function, frames[0].file, frames[0].line);
/// ```
#[must_use]
pub fn resolve(path: &Path, bias: usize, address: usize, is_return_address: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    Files::default().look_up(path, bias, address, is_return_address, &mut frames);
    frames
}

/// A loaded module.
pub(crate) struct Module {
    pub(crate) path: PathBuf,
    pub(crate) bias: usize,
    pub(crate) segments: Vec<std::ops::Range<usize>>,
}

/// The files opened so far; one that cannot be read is remembered too.
#[derive(Default)]
struct Files(Vec<(PathBuf, Option<Loader>)>);

impl Files {
    fn look_up_in(
        &mut self,
        modules: &[Module],
        address: usize,
        is_return_address: bool,
        frames: &mut Vec<Frame>,
    ) {
        let probed = address.wrapping_sub(usize::from(is_return_address));
        let has = |module: &&Module| module.segments.iter().any(|range| range.contains(&probed));
        let Some(module) = modules.iter().find(has) else { return };
        let first = frames.len();
        self.look_up(&module.path, module.bias, address, is_return_address, frames);
        if let [only] = &mut frames[first..]
            && only.function.is_none()
        {
            only.function = sys::exported_symbol(probed).map(demangled);
        }
    }

    fn look_up(
        &mut self,
        path: &Path,
        bias: usize,
        address: usize,
        is_return_address: bool,
        frames: &mut Vec<Frame>,
    ) {
        let bare = Frame {
            module: path.to_owned(),
            bias,
            address,
            function: None,
            file: None,
            line: None,
        };
        let in_file = address.wrapping_sub(bias).wrapping_sub(usize::from(is_return_address));
        let first = frames.len();
        if let Some(loader) = self.open(path) {
            // The libraries that read the file promise not to panic, and this holds them to it.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                functions_at(loader, in_file as u64, &bare, frames);
            }));
        }
        if frames.len() == first {
            frames.push(bare);
        }
    }

    fn open(&mut self, path: &Path) -> Option<&Loader> {
        let known = self.0.iter().position(|(known, _)| known == path);
        let index = known.unwrap_or_else(|| {
            let loader = catch_unwind(|| Loader::new(path).ok()).ok().flatten();
            self.0.push((path.to_owned(), loader));
            self.0.len() - 1
        });
        self.0[index].1.as_ref()
    }
}

fn functions_at(loader: &Loader, address: u64, bare: &Frame, frames: &mut Vec<Frame>) {
    let first = frames.len();
    if let Ok(mut found) = loader.find_frames(address) {
        while let Ok(Some(frame)) = found.next() {
            if frames.len() - first == MOST_INLINED {
                break;
            }
            let name = frame.function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
            let (file, line) =
                frame.location.map_or((None, None), |place| (place.file, place.line));
            frames.push(Frame {
                function: name,
                file: file.map(str::to_owned),
                line,
                ..bare.clone()
            });
        }
    }
    if frames.len() == first {
        frames.push(bare.clone());
    }
    let outermost = frames.len() - 1;
    if frames[outermost].function.is_none() {
        let symbol = loader.find_symbol(address).map(|symbol| demangled(symbol.to_owned()));
        frames[outermost].function = symbol;
    }
}

/// Only what is mangled: to a demangler a C function called `d` is the type `double`.
fn demangled(name: String) -> String {
    if !["_Z", "__Z", "_R"].iter().any(|mark| name.starts_with(mark)) {
        return name;
    }
    addr2line::demangle_auto(name.into(), None).into_owned()
}

/// More functions inlined into one another at one address than this come from a rotten file.
const MOST_INLINED: usize = 256;
