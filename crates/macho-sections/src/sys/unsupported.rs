//! Platforms whose loader speaks no Mach-O.

use super::Registry;

/// Nothing is ever loaded.
pub(super) fn follow(_registry: &'static Registry) {}
