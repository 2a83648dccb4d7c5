use crate::build::Package;

/// Each source fails to build, and the compiler's words contain the expected ones.
#[test]
fn what_cannot_be_state_is_refused_with_the_reason() {
    let package = Package::new("refused", "");
    for (source, words) in [
        ("reloader_guest::state! { static LEVEL: u32 = 1; }", "this static can never change"),
        (
            "reloader_guest::state! { static mut NAME: &str = \"\"; }",
            "cannot be the type of a state variable",
        ),
        ("reloader_guest::state! { static mut ON: bool = true; }", "unsafe impl Carry"),
        ("reloader_guest::state! { const LEVEL: u32 = 1; }", "state variables are statics"),
        ("#[reloader_guest::attribute::state] const LEVEL: u32 = 1;", "applies to a static"),
        ("#[reloader_guest::attribute::state] pub(crate) fn level() {}", "applies to a static"),
        ("#[reloader_guest::attribute::state(3)] static mut LEVEL: u32 = 1;", "takes no arguments"),
        (
            "unsafe extern \"C\" { #[reloader_guest::attribute::state] static LEVEL: u32; }",
            "state variables are statics",
        ),
        ("fn run() {} reloader_guest::reload_main!(run);", "mismatched types"),
        (
            "use reloader_guest::*; reload_main! { fn a(_: &mut Context, _: Operation) -> u8 { 0 } }",
            "Outcome",
        ),
        (
            "use reloader_guest::*; fn a(_: &mut Context, _: Operation) {} reload_main!(a); reload_main!(a);",
            "symbol `cr_main` is already defined",
        ),
    ] {
        package.write(source);
        let said = package.build().unwrap_err();
        assert!(said.contains(words), "{source}\n{said}");
    }
}

#[test]
fn the_macros_work_below_deny_unsafe_code_and_in_functions() {
    let package = Package::new(
        "denied",
        "
        #![deny(unsafe_code, warnings, missing_docs)]
        //! A guest.
        use reloader_guest::{Context, Operation, reload_main};
        use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

        macro_rules! declare {
            ($vis:vis $name:ident) => {
                /// Declared by a macro, which puts the visibility into a group of its own.
                #[reloader_guest::attribute::state]
                $vis static $name: AtomicI32 = AtomicI32::new(0);
            };
        }
        declare!(pub COUNT);

        reload_main! {
            /// Counts.
            pub fn run(_: &mut Context<'_>, _: Operation) -> i32 {
                reloader_guest::state! { static LOCAL: AtomicI32 = AtomicI32::new(0); }
                #[reloader_guest::attribute::state]
                static OTHER: AtomicI32 = AtomicI32::new(0);
                COUNT.fetch_add(1, Relaxed) + LOCAL.fetch_add(1, Relaxed) + OTHER.load(Relaxed)
            }
        }
    ",
    );
    package.build().unwrap();
}
