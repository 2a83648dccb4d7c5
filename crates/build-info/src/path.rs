//! Paths as they are recorded, in one spelling each, and the files that they lead to.

mod directories;
mod disk;
mod map;
mod merge;
mod resolve;
mod roots;
mod spelling;

pub use disk::{Disk, Entry, EntryKind, Stamp, System};
pub use map::{MapError, PathMap};
pub use resolve::Resolve;
pub(crate) use resolve::style;
pub(crate) use spelling::Root;
pub(crate) use spelling::Spelled;
pub use spelling::Style;
