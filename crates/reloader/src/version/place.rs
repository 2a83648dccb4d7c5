//! Where in the guest's own code something happened.

use crash_guard::symbolize::{self, Frame};
use crash_guard::{Fault, FaultKind};

use super::Version;
use crate::event::Place;

impl Version {
    /// The place in the guest's own code that a fault came from: the innermost function of the
    /// guest.
    ///
    /// A guest may have the runtime of its language inside, and an exception, a panic or an abort
    /// then starts in that. It is passed over.
    pub(crate) fn place_of(&self, fault: &Fault) -> Option<Place> {
        let returns = fault.return_addresses.iter().map(|&address| (address, true));
        let mut inside = [(fault.pc, false)]
            .into_iter()
            .chain(returns)
            .filter(|(address, _)| self.range.contains(address))
            .filter_map(|(address, returns)| self.place_at(address, returns));
        let first = inside.next()?;
        let thrown = fault.exception.is_some()
            || matches!(fault.kind, FaultKind::Abort | FaultKind::Illegal | FaultKind::Trap);
        if !thrown || !is_runtime(&first) {
            return Some(first);
        }
        inside.find(|place| !is_runtime(place)).or(Some(first))
    }

    fn place_at(&self, address: usize, returns: bool) -> Option<Place> {
        // The innermost of the functions that were inlined into each other there.
        let frames = symbolize::resolve(self.staged.path(), self.bias, address, returns);
        let Frame { function, file, line, .. } = frames.into_iter().next()?;
        Some(Place { address, function, file, line })
    }
}

/// Whether it is how a language's runtime throws, panics or gives up: of C++, of Rust, of the
/// unwinder below both.
fn is_runtime(place: &Place) -> bool {
    const RUNTIME: [&str; 12] = [
        "_Unwind_",
        "__cxa_",
        "__cxxabiv1::",
        "std::terminate",
        "__rustc::",
        "rust_panic",
        "std::panicking::",
        "std::panic::",
        "std::sys::",
        "core::panicking::",
        "core::option::",
        "core::result::",
    ];
    place
        .function
        .as_deref()
        .is_some_and(|function| RUNTIME.iter().any(|runtime| function.starts_with(runtime)))
}
