//! The whole crate, from outside, on images written byte by byte for each case. What linkers and
//! loaders make of it is tested with the other crates' images, in the package `reloader-tests`.

/// What two other readers say of the same images.
mod agreement;
/// The checksum, whole, in pieces, and brought up to date.
mod checksum;
/// One thing each that must keep a plan from being made, in images that are else sound.
mod guards;
/// Images written field by field, without the crate's own types.
mod maker;
/// Headers in odd places, and headers that lie.
mod malformed;
/// What the oracle that the fuzzer uses says of every fixture, and of damage to it.
mod oracle;
/// PDBs, and whether they are an image's own.
mod pdb;
/// Where a record may grow and move to, and where not.
mod places;
/// Plans: which rung, and what becomes of everything else.
mod plans;
/// Headers, sections, debug entries and variables of sound images.
mod reading;
/// What is taken out of an image, and what is nobody's to take.
mod removal;
