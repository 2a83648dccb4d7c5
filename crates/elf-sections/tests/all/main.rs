//! The whole crate, from outside: images that compilers and linkers of this machine make, images
//! of other machines that are kept as fixtures, and images made by hand for what no linker makes.

/// What two other readers say of the same images.
mod agreement;
/// Storage that programs have for libraries' variables, on every processor.
mod copies;
/// Images written field by field: byte orders, and counts that do not fit into the header.
mod handmade;
/// Images in this process: copies that are loaded, and finding them again.
#[cfg(target_os = "linux")]
mod loaded;
/// Images of more headers than any linker writes.
mod many;
/// Several names changed at once.
mod names;
/// What the oracle that the fuzzer uses says of every regression, and of random damage.
mod oracle;
/// Compilers, linkers and scratch directories.
mod support;
/// Variables, and what is writable besides.
mod variables;
/// Which images will load, checked against the loader itself.
mod verdicts;
