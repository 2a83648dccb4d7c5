//! Guests of every compiler and linker, and of unusual linking: each loads, keeps its state,
//! crashes and comes back.

use reloader::{Event, RefusalKind, StatePolicy, StateReport, Step};
use reloader_tests::{Bench, Build, PEN, Paper, apart, tool};

const COMPILERS: [(&str, &str); 2] = [("gcc", "g++"), ("clang", "clang++")];
const LINKERS: [&str; 4] = ["bfd", "gold", "lld", "mold"];

fn text(build: i32, cxx: bool, crash: &str) -> String {
    let (front, extra) = if cxx {
        (
            "#include <map>\n#include <string>\n#include <stdexcept>\n",
            r#"try { throw std::runtime_error("inside"); } catch (const std::exception &) { inner++; }
               names[count] = "a name of the guest's";"#,
        )
    } else {
        ("", "inner++;")
    };
    let globals = if cxx { "static std::map<int, std::string> names;" } else { "" };
    let size = 100 << (2 * build);
    format!(
        r#"{front}{PEN}
static int CR_STATE count = 1000;
static int CR_STATE unused_so_far[3] = {{1, 2, 3}};
static int (*CR_STATE call)(void) = 0;
char front[{size}] = {{1}}; char behind[{size}];
static int inner = 0;
static int plain = 5;
{globals}
CR_EXPORT int exported(void) {{ return {build}; }}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation != CR_STEP) return 0;
    {extra}
    if (!call) call = exported;
    say("%d %d %d %d %d", ++count, ++unused_so_far[1], ++plain, inner, call());
    {crash}
    return 0;
}}
"#
    )
}

/// Loads, reloads, crashes, rolls back and reloads: the state is kept all the way.
fn goes_all_the_way(what: &str, build: impl Fn(i32, &str) -> Vec<u8>) {
    let paper = Paper::new();
    let bench = Bench::new();
    bench.put_bytes(&build(1, ""));
    let (mut plugin, seen) = bench.open();
    paper.give_to(&mut plugin);
    let mut step = |bytes: Option<Vec<u8>>| {
        if let Some(bytes) = bytes {
            bench.put_bytes(&bytes);
        }
        (plugin.step(), paper.take())
    };
    let ran = |said: &str| (Step::Ran(0), said.to_owned());
    assert_eq!(step(None), ran("1001 3 6 1 1"), "{what}: {:?}", seen.take());
    assert_eq!(step(None), ran("1002 4 7 2 1"), "{what}");
    assert_eq!(step(Some(build(2, ""))), ran("1003 5 6 1 2"), "{what}: {:?}", seen.take());
    let (failed, said) = step(Some(build(3, "abort();")));
    assert!(matches!(failed, Step::Failed(_)), "{what}: {:?}", seen.take());
    assert_eq!(said, "1004 6 6 1 3", "{what}");
    assert_eq!(step(None), ran("1004 6 7 2 2"), "{what}");
    assert_eq!(step(Some(build(4, ""))), ran("1005 7 6 1 4"), "{what}: {:?}", seen.take());
    plugin.close();
    let reports: Vec<StateReport> = seen
        .take()
        .into_iter()
        .filter_map(|event| match event {
            Event::Reloaded { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    assert!(reports.iter().all(StateReport::is_whole), "{what}: {reports:?}");
    assert_eq!(bench.mappings(), Vec::<String>::new(), "{what}");
}

fn build(cxx: bool, compiler: &str, flags: &[&str], number: i32, crash: &str) -> Build {
    let crash = crash.replace("abort()", "__builtin_trap()");
    let build = if cxx {
        Build::cxx(text(number, cxx, &crash))
    } else {
        Build::c(text(number, cxx, &crash))
    };
    flags.iter().fold(build.compiler(compiler), |build, flag| build.flag(*flag))
}

fn with_each(flags: &[&str]) {
    for (c, cxx) in COMPILERS {
        for (compiler, is_cxx) in [(c, false), (cxx, true)] {
            for linker in LINKERS {
                let program =
                    if linker == "mold" { "mold".to_owned() } else { format!("ld.{linker}") };
                if tool(compiler).is_none() || tool(&program).is_none() {
                    continue;
                }
                let linker = format!("-fuse-ld={linker}");
                let mut all = vec![linker.as_str()];
                all.extend(flags);
                goes_all_the_way(&format!("{compiler} {all:?}"), |number, crash| {
                    build(is_cxx, compiler, &all, number, crash).bytes()
                });
            }
        }
    }
}

#[test]
fn every_compiler_and_linker_without_optimisation() {
    apart(|| with_each(&["-O0"]));
}

#[test]
fn every_compiler_and_linker_with_optimisation() {
    apart(|| with_each(&["-O2"]));
}

#[test]
fn without_protected_relocations() {
    apart(|| with_each(&["-O1", "-Wl,-z,norelro"]));
}

#[test]
fn with_everything_bound_at_once_and_protected() {
    apart(|| with_each(&["-O1", "-Wl,-z,now,-z,relro"]));
}

#[test]
fn with_unused_sections_collected() {
    apart(|| with_each(&["-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]));
}

#[test]
fn with_relative_relocations_packed() {
    apart(|| {
        // mold 1.10 leaves out the version that glibc wants of such a library (GLIBC_ABI_DT_RELR).
        for linker in ["bfd", "lld"] {
            if tool(&format!("ld.{linker}")).is_none() {
                continue;
            }
            let linker = format!("-fuse-ld={linker}");
            let flags = [linker.as_str(), "-Wl,-z,pack-relative-relocs"];
            goes_all_the_way(&linker, |number, crash| {
                build(false, "gcc", &flags, number, crash).bytes()
            });
        }
    });
}

#[test]
fn without_a_hash_table_of_gnus_own() {
    apart(|| {
        goes_all_the_way("sysv", |number, crash| {
            build(false, "gcc", &["-Wl,--hash-style=sysv"], number, crash).bytes()
        });
    });
}

#[test]
fn with_hidden_symbols_and_a_static_runtime() {
    apart(|| {
        goes_all_the_way("hidden", |number, crash| {
            let flags = ["-fvisibility=hidden", "-static-libstdc++", "-static-libgcc"];
            build(true, "g++", &flags, number, crash).bytes()
        });
    });
}

/// A guest with no names but those it exports; its state is one whole.
#[test]
fn stripped_guests_keep_a_state_of_the_same_size_and_refuse_another() {
    apart(|| {
        for linker in LINKERS {
            let guest = |number: i32, more: &str, step: &str| {
                Build::c(format!(
                    r#"{PEN}
static int CR_STATE count = 10; {more}
char front[{}] = {{1}};
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ say("%d", ++count); {step} }}
    return 0;
}}"#,
                    1000 * number
                ))
                .flag("-s")
                .flag(format!("-fuse-ld={linker}"))
            };
            let paper = Paper::new();
            let bench = Bench::with(&guest(1, "", ""));
            let (mut plugin, seen) = bench.open();
            paper.give_to(&mut plugin);
            assert_eq!(plugin.step(), Step::Ran(0));
            bench.put(&guest(2, "", ""));
            assert_eq!(plugin.step(), Step::Ran(0));
            assert_eq!(paper.take(), "1112", "{linker}");
            bench.put(&guest(3, "", "__builtin_trap();"));
            assert!(matches!(plugin.step(), Step::Failed(_)));
            assert_eq!(plugin.step(), Step::Ran(0));
            assert_eq!(paper.take(), "1313", "{linker}");
            seen.forget();
            bench.put(&guest(4, "static int CR_STATE more = 4;", "more++;"));
            assert_eq!(plugin.step(), Step::Ran(0));
            assert_eq!(paper.take(), "11", "{linker}");
            let report = seen.take().into_iter().find_map(|event| match event {
                Event::Reloaded { state, .. } => Some(state),
                _ => None,
            });
            let report = report.unwrap();
            assert_eq!(report.refused.len(), 1, "{linker}: {report}");
            assert!(report.refused[0].reason.contains("stripped"), "{report}");
        }
    });
}

/// The image without its table of sections, as extreme strippers leave it.
fn headerless(mut bytes: Vec<u8>) -> Vec<u8> {
    // e_shoff; e_shnum and e_shstrndx (System V gABI, "ELF Header").
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    bytes
}

#[test]
fn without_section_headers_a_guest_runs_and_it_is_said_that_its_state_cannot_be_found() {
    apart(|| {
        let whole = |number: i32| build(false, "gcc", &[], number, "").bytes();
        let cases: [(&str, Vec<u8>, Vec<u8>); 3] = [
            ("the new one", whole(1), headerless(whole(2))),
            ("the old one", headerless(whole(1)), whole(2)),
            ("both", headerless(whole(1)), headerless(whole(2))),
        ];
        for (which, first, second) in cases {
            let paper = Paper::new();
            let bench = Bench::new();
            bench.put_bytes(&first);
            let (mut plugin, seen) = bench.open();
            paper.give_to(&mut plugin);
            assert_eq!(plugin.step(), Step::Ran(0));
            assert_eq!(plugin.step(), Step::Ran(0));
            drop(paper.take());
            bench.put_bytes(&second);
            assert_eq!(plugin.step(), Step::Ran(0), "{which}: {:?}", seen.take());
            assert_eq!(paper.take(), "1001 3 6 1 2", "{which}");
            let report = seen.take().into_iter().find_map(|event| match event {
                Event::Reloaded { state, .. } => Some(state),
                _ => None,
            });
            let report = report.unwrap();
            assert!(!report.is_whole(), "{which}: {report}");
            let said = report.refused.iter().any(|one| one.reason.contains("no section headers"));
            assert!(said, "{which}: {report}");
        }
    });
}

#[test]
fn without_section_headers_a_policy_for_like_sections_refuses() {
    apart(|| {
        for policy in [StatePolicy::Identical, StatePolicy::SameSize, StatePolicy::Fits] {
            let whole = |number: i32| build(false, "gcc", &[], number, "").bytes();
            for (first, second) in [
                (whole(1), headerless(whole(1))),
                (headerless(whole(1)), whole(1)),
                (headerless(whole(1)), headerless(whole(1))),
            ] {
                let bench = Bench::new();
                bench.put_bytes(&first);
                let (mut plugin, seen) = bench.open_with(|builder| builder.state(policy));
                assert_eq!(plugin.step(), Step::Ran(0));
                bench.put_bytes(&second);
                assert_eq!(plugin.step(), Step::Ran(0));
                let refused = seen.take().into_iter().any(|event| {
                matches!(event, Event::Refused(refusal) if refusal.kind == RefusalKind::State)
            });
                assert!(refused, "{policy:?}");
                assert_eq!(plugin.version(), Some(1));
            }
        }
    });
}
