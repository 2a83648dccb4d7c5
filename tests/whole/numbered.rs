//! Variables that compilers and linkers tell apart by a number alone.

use reloader::StatePolicy;
use reloader_tests::{Build, tool};

use crate::state::{Reloaded, guest, reload};

const F: &str = "static int *f(void) { static int CR_STATE n = 1; return &n; }";
const G: &str = "static int *g(void) { static int CR_STATE n = 2; return &n; }";
const OTHER: &str = "static int *h(void) { static int CR_STATE n = 3; return &n; }";
const SET: &str = "*f() = 100; *g() = 200;";
const SAY: &str = r#"say("%d %d", *f(), *g());"#;
/// The same code for both builds.
const ADD: &str = r#"*f() += 100; *g() += 200; say("%d %d", *f(), *g());"#;

fn with(build: Build, flags: &str) -> Build {
    flags.split(' ').fold(build, Build::flag)
}

/// The ways of building that tell nothing of local variables.
const TELL_NOTHING: [(&str, &str); 6] = [
    ("gcc", "-O2 -g0"),
    ("gcc", "-O2 -g1"),
    ("gcc", "-O2 -g0 -s"),
    ("gcc", "-O2 -g0 -flto"),
    ("gcc", "-O2 -g1 -Wl,--build-id=none"),
    ("clang", "-O2 -g0 -fuse-ld=lld -flto"),
];

#[test]
fn a_build_of_the_same_code_keeps_what_only_numbers_tell_apart() {
    for (compiler, flags) in TELL_NOTHING {
        // Another debug information and another build-id, where there are any; the same code.
        for comment in ["", "\n\n/* more lines */\n\n"] {
            let build = |comment: &str| {
                let guest = guest(&format!("{comment}{F} {G}"), ADD).compiler(compiler);
                with(guest, flags)
            };
            let reloaded = reload(StatePolicy::BySymbol, &build(""), &build(comment));
            assert_eq!(reloaded.said, "201 402", "{compiler} {flags}: {reloaded:?}");
            assert!(reloaded.report().is_whole(), "{compiler} {flags}: {reloaded:?}");
        }
    }
}

#[test]
fn what_nothing_tells_apart_is_refused_and_not_swapped() {
    for (compiler, flags) in TELL_NOTHING {
        if flags.ends_with("-s") {
            continue;
        }
        let build =
            |functions: &str, step: &str| with(guest(functions, step).compiler(compiler), flags);
        let first = build(&format!("{F} {G}"), SET);
        // gcc's names are the same in the first of these.
        for functions in [format!("{G} {F}"), format!("{OTHER} {F} {G}")] {
            let keep = if functions.contains("h(void)") { "(void)*h();" } else { "" };
            let second = build(&functions, &format!("{keep} {SAY}"));
            let reloaded = reload(StatePolicy::BySymbol, &first, &second);
            // clang's names have the functions' in them.
            let kept = compiler == "clang" && reloaded.said == "100 200";
            let refused = reloaded.said == "1 2" && reloaded.report().refused.len() == 2;
            assert!(kept || refused, "{compiler} {flags}: {reloaded:?}");
            if refused {
                let text = reloaded.report().to_string();
                assert!(text.contains("debug information does not tell"), "{text}");
            }
        }
    }
}

/// Only the instructions say which is whose.
#[test]
fn other_code_in_the_same_places_is_another_build() {
    const TURNED: &str = "static int *g(void) { static int CR_STATE n = 1; return &n; } \
                          static int *f(void) { static int CR_STATE n = 2; return &n; }";
    // Stripped, a section is carried as it is.
    for (compiler, flags) in TELL_NOTHING.into_iter().filter(|(_, flags)| !flags.ends_with("-s")) {
        let build = |functions: &str| with(guest(functions, ADD).compiler(compiler), flags);
        let reloaded = reload(StatePolicy::BySymbol, &build(&format!("{F} {G}")), &build(TURNED));
        let kept = compiler == "clang" && reloaded.said == "201 402";
        assert!(kept || reloaded.said == "102 201", "{compiler} {flags}: {reloaded:?}");
    }
}

/// Debug information that is not just lying there.
const TELL: [(&str, &str); 8] = [
    ("gcc", "-O2 -g -gz"),
    ("gcc", "-O2 -g -gz=zlib-gnu"),
    ("gcc", "-O2 -g -gsplit-dwarf"),
    ("gcc", "-O2 -g -gdwarf-4 -gsplit-dwarf -gz"),
    ("gcc", "-O2 -g -flto"),
    ("clang", "-O2 -g -gsplit-dwarf"),
    ("clang", "-O2 -g -fuse-ld=lld -flto"),
    ("clang-19", "-O2 -g -gz=zstd"),
];

#[test]
fn debug_information_tells_them_apart_also_compressed_split_off_and_of_a_whole_program() {
    for (compiler, flags) in TELL {
        if tool(compiler).is_none() {
            continue;
        }
        let build =
            |functions: &str, step: &str| with(guest(functions, step).compiler(compiler), flags);
        let first = build(&format!("{F} {G}"), SET);
        for functions in [format!("{G} {F}"), format!("{OTHER} {F} {G}")] {
            let keep = if functions.contains("h(void)") { "(void)*h();" } else { "" };
            let second = build(&functions, &format!("{keep} {SAY}"));
            let reloaded = reload(StatePolicy::BySymbol, &first, &second);
            assert_eq!(reloaded.said, "100 200", "{compiler} {flags}: {reloaded:?}");
            assert!(reloaded.report().is_whole(), "{compiler} {flags}: {reloaded:?}");
        }
    }
}

/// A program of two files, each with a static `n` of its own and one of a function.
fn of_two_files(flags: (&str, &str), first: &str, second: &str, step: &str) -> Reloaded {
    let file = |name: &str, value: i32| {
        let source = format!(
            "#include \"reloader_guest.h\"\nstatic int CR_STATE n = {value};\n\
             int *{name}(int which); int *{name}(int which) {{ static int CR_STATE m = {value} + 1; return which ? &n : &m; }}\n"
        );
        (name.to_owned(), source)
    };
    let build = |files: [&str; 2], step: &str| {
        let declared = "int *one(int which); int *two(int which);";
        files.into_iter().fold(
            with(guest(declared, step).compiler(flags.0), flags.1),
            |build, name| {
                let (name, source) = file(name, if name == "one" { 1 } else { 5 });
                build.source(&name, source)
            },
        )
    };
    let set = "*one(0) = 10; *one(1) = 11; *two(0) = 20; *two(1) = 21;";
    reload(StatePolicy::BySymbol, &build(["one", "two"], set), &build([first, second], step))
}

#[test]
fn statics_of_the_files_of_a_whole_program_are_kept_or_refused_but_never_swapped() {
    let say = r#"say("%d %d %d %d", *one(0), *one(1), *two(0), *two(1));"#;
    for flags in [("gcc", "-O2 -flto -g"), ("clang", "-O2 -flto -fuse-ld=lld -g")] {
        for (first, second) in [("one", "two"), ("two", "one")] {
            let reloaded = of_two_files(flags, first, second, say);
            assert_eq!(reloaded.said, "10 11 20 21", "{flags:?} {first}: {reloaded:?}");
            assert!(reloaded.report().is_whole(), "{flags:?} {first}: {reloaded:?}");
        }
    }
    for flags in [("gcc", "-O2 -flto -g0"), ("clang", "-O2 -flto -fuse-ld=lld -g0")] {
        let reloaded = of_two_files(flags, "two", "one", say);
        let values = reloaded.said.split(' ').map(|it| it.parse::<i32>().unwrap());
        for (value, (kept, fresh)) in values.zip([(10, 2), (11, 1), (20, 6), (21, 5)]) {
            assert!(value == kept || value == fresh, "{flags:?}: {reloaded:?}");
        }
        assert!(!reloaded.report().refused.is_empty(), "{flags:?}: {reloaded:?}");
    }
}
