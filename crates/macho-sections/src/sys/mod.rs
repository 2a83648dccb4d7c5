//! Images in the running process.
//!
//! On macOS the loader tells of every image that comes and goes, and [`modules`] is the list of
//! those that are there. On other platforms, whose loaders speak no Mach-O, the list is empty. What
//! the list is made of knows no platform: a [`Module`] is read from the load commands that every
//! loaded image has in memory, and a [`Registry`] of them is as good for the images of another
//! process or of a core file.
//!
//! ```
//! for module in macho_sections::sys::modules().iter() {
//!     if let Some(range) = module.section("__DATA", "__state") {
//!         println!("{}: {:#x?}", module.path.display(), range);
//!     }
//! }
//! ```

mod module;
mod registry;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as platform;

#[cfg(not(target_os = "macos"))]
mod unsupported;
#[cfg(not(target_os = "macos"))]
use unsupported as platform;

use std::ops::Range;
use std::sync::Arc;

use crate::Section;

pub use module::{Module, ModuleSection, ModuleSegment};
pub use registry::{Modules, Registry};

/// The images that are loaded now.
///
/// The list stays as it is; a later call gives a newer one, if [`generation`] has moved on.
pub fn modules() -> Arc<Modules> {
    loaded().modules()
}

/// The loaded image that an address is in.
///
/// Whoever looks up many keeps a list and asks [`Modules::at`].
pub fn module_of_address(address: usize) -> Option<Arc<Module>> {
    modules().at(address).cloned()
}

/// Where a section of an image is in this process: `section` is one of the image that `module` was
/// loaded from.
pub fn locate(module: &Module, section: &Section<'_>) -> Range<usize> {
    let range = section.range();
    module.address(range.start)..module.address(range.end)
}

/// A number that is another one after images have come or gone. Costs two loads.
pub fn generation() -> u64 {
    loaded().generation()
}

fn loaded() -> &'static Registry {
    static LOADED: Registry = Registry::new();
    platform::follow(&LOADED);
    &LOADED
}
