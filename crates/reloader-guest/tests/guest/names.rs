use crate::{
    build::{Package, target_available},
    image::{Variable, state},
};

const FIRST: &str = "
    reloader_guest::state! {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        static mut LEVEL: u32 = 1;
    }
    fn run(_: &mut reloader_guest::Context, _: reloader_guest::Operation) -> i32 {
        COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) as i32
    }
    reloader_guest::reload_main!(run);
";

fn variable(package: &Package, name: &str) -> Variable {
    let variables = state(&package.build().unwrap());
    let mut found = variables.into_iter().filter(|variable| variable.name.contains(name));
    let variable = found.next().unwrap();
    assert_eq!(found.next(), None);
    variable
}

#[test]
fn names_stay_when_code_changes_and_initialisers_do() {
    let package = Package::new("rebuilt", FIRST);
    let (count, level) = (variable(&package, "COUNT"), variable(&package, "LEVEL"));
    package.write(
        &FIRST
            .replace("fetch_add(1", "fetch_sub(run_more()")
            .replace("u32 = 1", "u32 = 2")
            .replace("fn run", "fn run_more() -> u32 { std::env::args().count() as u32 } fn run"),
    );
    assert_eq!(variable(&package, "COUNT").name, count.name);
    assert_eq!(variable(&package, "LEVEL").name, level.name);
}

#[test]
fn the_legacy_name_tells_types_apart_and_the_v0_name_does_not() {
    let package = Package::new("retyped", FIRST);
    let level = variable(&package, "LEVEL").name;
    package.write(&FIRST.replace("LEVEL: u32", "LEVEL: i32"));
    let retyped = variable(&package, "LEVEL").name;
    if level.starts_with("_ZN") {
        assert_ne!(level, retyped);
    } else {
        assert!(level.starts_with("_R"), "{level}");
        assert_eq!(level, retyped);
    }
}

#[test]
fn object_files_for_apple_and_windows_have_their_state_section() {
    let package = Package::new("foreign", FIRST);
    for target in ["aarch64-apple-darwin", "x86_64-pc-windows-gnu"] {
        if target_available(target) {
            let variables = state(&package.object(target));
            for name in ["COUNT", "LEVEL"] {
                assert!(variables.iter().any(|found| found.name.contains(name)), "{variables:?}");
            }
        }
    }
}
