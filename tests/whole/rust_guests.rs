//! Guests in Rust: state, panics, and panics of guests that do without `reloader-guest`.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::process::Command;

use reloader::{Cause, Event, FaultKind, Memory, Step};
use reloader_tests::{Bench, apart};

/// The library that cargo makes of this source, once for all test runs.
fn library(source: &str) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let program = std::env::current_exe().unwrap();
    let root = program.parent().unwrap().join("rust-guests");
    let package = root.join(format!("{:016x}", hasher.finish()));
    let built = package.join("target/debug/libguest.so");
    if !built.exists() {
        let guest_crate = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/reloader-guest");
        let manifest = format!(
            "[package]\nname = \"guest\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\
             [dependencies]\nreloader-guest = {{ path = {guest_crate:?} }}\n[workspace]\n"
        );
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        fs::write(package.join("src/lib.rs"), source).unwrap();
        let output = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(package.join("target"))
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::read(built).unwrap()
}

fn counter(build: i32, step: &str) -> Vec<u8> {
    library(&format!(
        r#"
use reloader_guest::{{Context, Operation, reload_main, state}};
use std::sync::atomic::{{AtomicI32, Ordering::Relaxed}};

state! {{
    static COUNT: AtomicI32 = AtomicI32::new(0);
}}
static OWN: AtomicI32 = AtomicI32::new(0);

reload_main! {{
    fn run(_context: &mut Context, operation: Operation) -> i32 {{
        if operation != Operation::Step {{ return 0; }}
        let count = COUNT.fetch_add(1, Relaxed) + 1;
        let own = OWN.fetch_add(1, Relaxed) + 1;
        let words: Vec<String> = (0..10).map(|n| format!("{{n}}")).collect();
        {step}
        {build}000 + 100 * own + count + i32::from(words.len() != 10)
    }}
}}
"#
    ))
}

#[test]
fn a_guest_in_rust_keeps_its_state_across_reloads() {
    apart(|| {
        let bench = Bench::new();
        bench.put_bytes(&counter(1, ""));
        let (mut plugin, seen) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(1101), "{:?}", seen.take());
        assert_eq!(plugin.step(), Step::Ran(1202));
        for build in 2..5 {
            bench.put_bytes(&counter(build, ""));
            assert_eq!(plugin.step(), Step::Ran(1000 * build + 101 + build), "{:?}", seen.take());
        }
        for event in seen.take() {
            if let Event::Reloaded { state, .. } = event {
                assert!(state.is_whole(), "{state}");
                assert_eq!(state.carried.len(), 1, "{state}");
            }
        }
        plugin.close();
    });
}

#[test]
fn a_panic_is_a_negative_answer_and_the_version_before_takes_over() {
    apart(|| {
        let bench = Bench::new();
        bench.put_bytes(&counter(1, ""));
        let (mut plugin, seen) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(1101));
        bench.put_bytes(&counter(2, r#"if words.len() == 10 { panic!("on purpose"); }"#));
        seen.forget();
        assert!(matches!(plugin.step(), Step::Failed(_)));
        let faults: Vec<_> = seen
            .take()
            .into_iter()
            .filter_map(|event| match event {
                Event::Fault(failure) => Some(failure),
                _ => None,
            })
            .collect();
        let [failure] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(matches!(failure.cause, Cause::Returned(value) if value < 0), "{failure}");
        assert_eq!(plugin.version(), Some(1));
        assert_eq!(plugin.step(), Step::Ran(1202));
        bench.put_bytes(&counter(3, ""));
        assert_eq!(plugin.step(), Step::Ran(3103));
    });
}

#[test]
fn a_fault_of_a_guest_in_rust_is_survived() {
    apart(|| {
        let bench = Bench::new();
        bench.put_bytes(&counter(1, ""));
        let (mut plugin, _) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(1101));
        for (build, crash) in [
            (2, "std::process::abort();"),
            (3, "unsafe { *std::ptr::without_provenance_mut::<u8>(16) = 1 };"),
        ] {
            bench.put_bytes(&counter(build, crash));
            assert!(matches!(plugin.step(), Step::Failed(_)));
            assert!(matches!(plugin.step(), Step::Ran(_)));
            assert_eq!(plugin.version(), Some(1));
        }
    });
}

/// Without the macro, and with an entry function that may unwind.
#[test]
fn a_panic_that_leaves_the_entry_function_is_caught() {
    apart(|| {
        let plain = |body: &str| {
            library(&format!(
                r#"
#[unsafe(no_mangle)]
pub extern "C-unwind" fn cr_main(_: *mut u8, operation: i32) -> i32 {{
    if operation != 1 {{ return 0; }}
    {body}
}}
"#
            ))
        };
        let bench = Bench::new();
        bench.put_bytes(&plain("7"));
        let (mut plugin, seen) = bench.open();
        assert_eq!(plugin.step(), Step::Ran(7));
        bench.put_bytes(&plain(r#"panic!("on purpose")"#));
        seen.forget();
        assert!(matches!(plugin.step(), Step::Failed(_)));
        let kinds: Vec<FaultKind> = seen
            .take()
            .into_iter()
            .filter_map(|event| match event {
                Event::Fault(failure) => match failure.cause {
                    Cause::Fault(fault) => Some(fault.kind),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        assert_eq!(kinds, [FaultKind::ForeignPanic]);
        assert_eq!(plugin.step(), Step::Ran(7));
        assert_eq!(plugin.version(), Some(1));
    });
}

#[test]
fn old_images_of_guests_in_rust_go_or_it_is_said_why() {
    apart(|| {
        let bench = Bench::new();
        bench.put_bytes(&counter(1, ""));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        assert_eq!(plugin.step(), Step::Ran(1101));
        bench.put_bytes(&counter(2, ""));
        assert_eq!(plugin.step(), Step::Ran(2102));
        let retired: Vec<_> = seen
            .take()
            .into_iter()
            .filter_map(|event| match event {
                Event::Retired { version, memory } => Some((version, memory)),
                _ => None,
            })
            .collect();
        let [(1, memory)] = retired.as_slice() else { panic!("{retired:?}") };
        let mapped = bench.mappings().iter().any(|line| line.contains(".v1-"));
        assert_eq!(mapped, *memory != Memory::Unmapped, "{memory}");
    });
}
