//! Why a process cannot be watched.

use std::io;

use super::means::Refused;
use crate::error::{ProcessError, WalkError};

/// Why a process cannot be watched, or cannot be any longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It cannot be read.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its lists are damaged.
    #[error("the loader's lists: {0}")]
    Lists(WalkError),
    /// The system grants none of the means.
    #[error("none of the means is granted: {}", list(.refused))]
    Means {
        /// What the system said to each.
        refused: Vec<Refused>,
    },
    /// The system failed.
    #[error("{call}: {source}")]
    System {
        /// What failed.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
}

impl WatchError {
    pub(super) fn system(call: &'static str) -> impl Fn(io::Error) -> WatchError {
        move |source| WatchError::System { call, source }
    }
}

fn list(refused: &[Refused]) -> String {
    refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
