//! Tests that only mean something where no other test runs beside them.

use crate::{alone, pass};

/// Runs the body of a test in a process of its own: other tests' threads, whose stacks may hold an
/// address that was another image's before, are none of its business, and neither are its figures
/// theirs.
pub fn apart<F: FnOnce()>(body: F) {
    // `whole::unloading::the_name_of_the_test::{{closure}}`
    let name = std::any::type_name::<F>();
    let name = name.split_once("::").unwrap().1.trim_end_matches("::{{closure}}");
    match alone(name) {
        Some(command) => drop(pass(command)),
        None => body(),
    }
}
