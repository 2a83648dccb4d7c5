//! The whole crate, from outside: images written field by field, without the parser's own types.

/// Fat files, files that only look like them, and files that are neither.
mod containers;
/// Words that the loader computes, in every encoding.
mod fixups;
/// Images of both classes and byte orders, field by field.
mod handmade;
/// Load commands that stand still, reach too far or contradict themselves.
mod hostile;
/// Lists of loaded images, made up.
mod loaded;
/// How images are written.
mod maker;
/// What the oracle that the fuzzer uses says of every regression, and of random damage.
mod oracle;
/// Edits of load commands.
mod plans;
/// Code signatures: all hashes, edits, and what is refused.
mod signatures;
