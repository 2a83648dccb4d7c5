//! A guest is loaded, stepped and reloaded with its state kept.

use reloader::Step;
use reloader_tests::{Bench, Build};

/// A guest that counts its steps and returns `base` and the count.
fn counter(base: i32) -> Build {
    Build::c(format!(
        r#"
#include "reloader_guest.h"
static int CR_STATE count = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    (void)ctx;
    if (operation == CR_STEP) count += 1;
    return {base} + count;
}}
"#
    ))
}

#[test]
fn a_guest_is_reloaded_with_its_state() {
    let bench = Bench::with(&counter(100));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(101));
    assert_eq!(plugin.step(), Step::Ran(102));
    bench.put(&counter(200));
    assert_eq!(plugin.step(), Step::Ran(203));
    assert_eq!(plugin.version(), Some(2));
    plugin.close();
    assert_eq!(seen.words(), ["loaded 1", "reloaded 2 from 1", "closed"]);
    assert_eq!(bench.copies(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_crash_goes_back_to_the_version_before() {
    let bench = Bench::with(&counter(100));
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(101));
    bench.put(&Build::c(
        r#"
#include "reloader_guest.h"
static int CR_STATE count = 0;
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    if (operation == CR_STEP) { count = 77; *(volatile int *)0 = 1; }
    return 0;
}
"#,
    ));
    assert!(matches!(plugin.step(), Step::Failed(_)));
    assert_eq!(plugin.version(), Some(1));
    assert_eq!(plugin.step(), Step::Ran(102));
    bench.put(&counter(300));
    assert_eq!(plugin.step(), Step::Ran(303));
    for event in seen.take() {
        println!("{event:?}");
    }
}
