//! Changes to a file's bytes as values: shown, checked, applied all or nothing, inverted, written atomically.
//!
//! Patching a binary in place has one way to go right and many to go wrong: the file was rebuilt
//! in between, the patch is applied twice, the disk fills up half way. Here a change is first a
//! [`Plan`], a list of [`Edit`]s that each know the bytes they expect to find. A dry run shows the
//! plan; applying it checks every expectation before the first byte is written; its
//! [inverse](Plan::invert) undoes it; and [`Plan::write_file`] puts the result in place by writing
//! a new file beside the target and renaming it, so that a reader sees the old bytes or the new
//! ones and nothing else.
//!
//! ```
//! use patch_plan::Plan;
//!
//! let mut plan = Plan::new();
//! plan.edit(4, *b"old!", *b"new!")?;
//! assert_eq!(plan.show().to_string(), "0x4: 6f6c6421 -> 6e657721\n");
//!
//! let mut image = b"the old! bytes".to_vec();
//! plan.apply(&mut image)?;
//! assert_eq!(image, b"the new! bytes");
//!
//! // The same plan does not apply twice: `old` is no longer there, and nothing is touched.
//! assert!(plan.apply(&mut image).is_err());
//!
//! plan.invert().apply(&mut image)?;
//! assert_eq!(image, b"the old! bytes");
//! # Ok::<(), patch_plan::Error>(())
//! ```
//!
//! # Promises
//!
//! Nothing here panics, whatever the plan and the bytes. The same plan on the same bytes gives the
//! same bytes. A failed [`apply`](Plan::apply), [`apply_to_vec`](Plan::apply_to_vec) or
//! [`write_file`](Plan::write_file) leaves its target exactly as it was.
//!
//! # References
//!
//! - POSIX.1-2017, `rename()`: the atomic replacement that `write_file` rests on.
//! - `ioctl_ficlonerange(2)`, `clonefile(2)`, `FSCTL_DUPLICATE_EXTENTS_TO_FILE`: copies that share
//!   blocks.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod edit;
mod error;
mod plan;
mod show;
mod write;

pub use edit::{Edit, Tail};
pub use error::{Error, FileError};
pub use plan::Plan;
pub use show::Show;
pub use write::{Copied, Durability, Times, WriteOptions, Written};
