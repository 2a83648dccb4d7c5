//! The state: which variables there are, and how they get from one version to the next.

mod atlas;
mod block;
mod correlate;
mod heap;
mod owners;
mod relink;
mod report;
mod snapshot;
mod transfer;
mod variables;

pub use report::{Refused, Resized, StateReport, Untranslated};
pub use snapshot::Snapshot;

pub(crate) use atlas::Atlas;
pub(crate) use relink::{Reach, relink, relink_word};
pub(crate) use transfer::{carry, refusal};
pub(crate) use variables::StateMap;
