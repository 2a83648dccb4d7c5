//! elf-sections on real images: those of this machine, those of its compilers and linkers, and
//! those that are loaded.

/// Every ELF file of the machine, against readelf and other readers.
mod census;
/// Processors where pointers have 32 bits instead of 64.
mod classes;
/// Sections whose bytes are compressed.
mod compressed;
/// Core files.
mod cores;
/// What eu-elflint has to say of files.
mod elflint;
/// What no ordinary tool makes: too many headers, and a table behind 4 GiB.
mod extremes;
/// Guests that say themselves where their bounds are.
mod guests;
/// Guests of all linkers, and where their variables really are.
mod linkers;
/// Loading libraries and asking them.
mod loaded;
/// What was planned, loaded.
mod plans;
/// What was planned, loaded on each processor whose programs run here.
#[cfg(target_arch = "x86_64")]
mod processors;
/// Images of other processes, and what has become of their files.
mod processes;
/// The words that the crates of three formats share, and what they promise of their sources.
mod words;
/// Running tools on scratch files.
mod workshop;
