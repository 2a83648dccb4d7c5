//! `pe-patch` on images of many makers.

/// Real images, out of packages.
mod corpus;
/// Real images that are damaged.
mod damaged;
/// Images made here.
mod made;
/// A .NET metadata reader.
mod metadata;
/// Images with their PDBs.
mod pairs;
/// New paths for every image.
mod paths;
/// An independent reader of PE images.
mod reader;
/// What is read, against other readers.
mod reading;
/// Records taken out and added.
mod records;
/// What still loads and runs.
mod running;
/// Other readers.
mod second;
/// What must not change, against the independent reader.
mod untouched;
/// Windows programs under wine.
mod wine;

use std::path::PathBuf;

/// The paths of all images that can be had: real ones and made ones.
fn images() -> Vec<PathBuf> {
    let mut images = corpus::images();
    images.extend(made::images());
    images
}
