//! DWARF, whatever it is wrapped in.
//!
//! Of a unit's tree only the root is looked at, and of its line table only the header: that is all
//! that is said of which units there are, how they were compiled and from which files, and it is
//! less than a thousandth of what there is.

mod section;
mod inflate;
mod header;
mod abbreviation;
mod form;
mod root;
mod line;
mod strings;
mod files;
mod tables;
mod language;
pub(crate) mod producer;
mod ranges;
mod claims;
mod macros;
mod description;
mod sources;
mod units;
mod lines_alone;
mod origins;
mod split;
pub(crate) mod names;

pub(crate) use claims::{Claimed, Place, settle};
pub(crate) use files::Files;
pub(crate) use inflate::Packing;
pub(crate) use producer::Options;
pub(crate) use section::Section;
pub(crate) use split::{PackageIndex, Skeleton, Split};
pub(crate) use units::Reading;
