//! Mach-O images of other makers, and of LLVM's linker: what other readers say of them, what an
//! edit leaves of their signatures, and where their variables are.

/// What llvm-objdump, llvm-readobj and goblin say of the same images.
mod agreement;
/// Edits, and whether the signatures hold afterwards, by hashes computed here.
mod edits;
/// The words that the loader writes, as llvm-objdump lists them.
mod fixups;
/// The part that only macOS runs is compiled for it and linked.
mod link;
/// Images that compilers and linkers of this machine make.
mod made;
/// Real images, out of the packages that ship them.
mod samples;
/// Variables, and the object files that they came from.
mod variables;
