//! The state: which variables there are, and how they get from one version to the next.

mod atlas;
mod block;
mod correlate;
mod debug_info;
mod discriminator;
mod heap;
mod relink;
mod report;
mod scalar;
mod snapshot;
mod transfer;
mod variables;

pub use report::{Refused, Resized, StateReport, Untranslated};
pub use snapshot::Snapshot;

pub(crate) use atlas::Atlas;
pub(crate) use debug_info::Sort;
pub(crate) use relink::{Reach, relink, relink_word};
pub(crate) use transfer::{carry, refusal};
pub(crate) use variables::{StateMap, Variable};
