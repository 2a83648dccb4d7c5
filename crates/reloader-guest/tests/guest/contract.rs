use crate::{
    build::Package,
    image::{self, Guest, plugin},
};
use reloader_guest::{ERROR, PANIC};
use std::{ffi::c_int, path::PathBuf, ptr, sync::LazyLock};

static CONTRACT: LazyLock<PathBuf> = LazyLock::new(|| {
    Package::new("contract", include_str!("../guests/contract.rs")).build().unwrap()
});

#[test]
fn each_operation_reaches_the_function_and_its_result_the_host() {
    let guest = Guest::load(&CONTRACT, "operations");
    let mut plugin = plugin();
    assert_eq!(guest.call(&mut plugin, 0), 21);
    assert_eq!(guest.call(&mut plugin, 1), 1);
    assert_eq!(guest.call(&mut plugin, 1), 2);
    assert_eq!(guest.call(&mut plugin, 2), 23);
    assert_eq!(guest.call(&mut plugin, 3), 20);
}

#[test]
fn an_unknown_operation_arrives_as_its_number() {
    let guest = Guest::load(&CONTRACT, "unknown");
    for operation in [4, 99, -1, c_int::MIN, c_int::MAX] {
        assert_eq!(guest.call(&mut plugin(), operation), operation);
    }
}

#[test]
fn a_failure_of_any_number_has_words() {
    let guest = Guest::load(&CONTRACT, "failure");
    let mut plugin = plugin();
    assert_eq!(guest.call(&mut plugin, 110), 0);
    plugin.failure = 1;
    assert_eq!(guest.call(&mut plugin, 110), "segmentation fault".len() as c_int);
    for failure in [-1, 77, c_int::MIN, c_int::MAX] {
        plugin.failure = failure;
        assert!(guest.call(&mut plugin, 110) > 0);
    }
}

#[test]
fn no_panic_leaves_the_guest_and_it_goes_on_after_each() {
    let guest = Guest::load(&CONTRACT, "panics");
    let mut plugin = plugin();
    for operation in [100, 101, 103, 104] {
        assert_eq!(guest.call(&mut plugin, operation), PANIC, "{operation}");
    }
    assert_eq!(guest.call(&mut plugin, 1), 1);
}

#[test]
fn an_error_is_negative() {
    let guest = Guest::load(&CONTRACT, "error");
    assert_eq!(guest.call(&mut plugin(), 102), ERROR);
}

#[test]
fn a_missing_plugin_is_an_error() {
    let guest = Guest::load(&CONTRACT, "missing");
    assert_eq!(guest.call_without_plugin(), ERROR);
}

#[test]
fn userdata_is_shared_both_ways() {
    let guest = Guest::load(&CONTRACT, "userdata");
    let mut plugin = plugin();
    assert_eq!(guest.call(&mut plugin, 105), 0);
    let mut shared = 41_u32;
    plugin.userdata = ptr::from_mut(&mut shared).cast();
    assert_eq!(guest.call(&mut plugin, 105), 42);
    assert_eq!(shared, 42);
    assert_eq!(guest.call(&mut plugin, 106), 0x1000);
    assert_eq!(plugin.userdata.addr(), 0x1000);
}

#[test]
fn state_has_its_initial_values_until_the_host_brings_others() {
    let guest = Guest::load(&CONTRACT, "state");
    let mut plugin = plugin();
    assert_eq!(guest.call(&mut plugin, 107), 1);
    assert_eq!(guest.call(&mut plugin, 108), 15);
    assert_eq!(guest.call(&mut plugin, 109), 7);
    // SAFETY: the image is loaded, the variable is a u64 in writable memory, and the guest is not
    // running.
    unsafe { guest.variable("SEED").cast::<u64>().write(42) };
    // SAFETY: as above; three u16.
    unsafe { guest.variable("ATTRIBUTED").cast::<[u16; 3]>().write([0, 0, 9]) };
    assert_eq!(
        guest.call(&mut plugin, 107),
        42,
        "the guest never writes it, but must not assume 1"
    );
    assert_eq!(guest.call(&mut plugin, 109), 9);
}

#[test]
fn the_state_section_holds_the_state_variables_and_nothing_else() {
    let mut found: Vec<_> = image::state(&CONTRACT)
        .iter()
        .filter(|variable| variable.size > 0)
        .map(|variable| {
            let known = ["STEPS", "SEED", "SCORE", "ATTRIBUTED"];
            let name = known.into_iter().find(|name| variable.name.contains(name));
            (name.unwrap_or_else(|| panic!("{variable:?}")), variable.size)
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("ATTRIBUTED", 6), ("SCORE", 8), ("SEED", 8), ("STEPS", 4)]);
}

#[test]
fn a_guest_that_printed_and_panicked_can_still_be_unmapped() {
    let guest = Guest::load(&CONTRACT, "unmapped");
    for operation in [0, 1, 100, 101, 102, 103, 104, 2] {
        guest.call(&mut plugin(), operation);
    }
    assert!(guest.unload());
}

#[test]
fn the_example_runs_and_counts_in_its_state() {
    let example = Package::new("example", include_str!("../../examples/guest.rs"));
    let guest = Guest::load(&example.build().unwrap(), "example_runs");
    let mut plugin = plugin();
    for operation in [0, 1, 1, 1, 2, 3, 4] {
        assert_eq!(guest.call(&mut plugin, operation), 0);
    }
    // SAFETY: the image is loaded, the variable is a u32, and the guest is not running.
    assert_eq!(unsafe { guest.variable("STEPS").cast::<u32>().read() }, 3);
    assert!(guest.unload());
}
