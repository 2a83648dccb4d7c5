//! The state under each policy: what is kept, what is reported, and that nothing is lost in
//! silence.

use reloader::{Event, RefusalKind, StatePolicy, StateReport, Step};
use reloader_tests::{Bench, Build, PEN, Paper, apart, step_until};

/// A guest in C with these globals that does `step` in each step.
pub fn guest(globals: &str, step: &str) -> Build {
    Build::c(main_file(globals, step))
}

fn main_file(globals: &str, step: &str) -> String {
    format!(
        r#"{PEN}
{globals}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}
"#
    )
}

/// What a reload from one build to another came to.
#[derive(Debug)]
pub struct Reloaded {
    /// What the second build, or the first if the second was refused, wrote in its step.
    pub said: String,
    /// Of the transfer, if there was one.
    report: Option<StateReport>,
    refused: Vec<RefusalKind>,
}

impl Reloaded {
    pub fn report(&self) -> &StateReport {
        self.report.as_ref().unwrap()
    }

    /// The names of what was refused inside a transfer.
    fn refused(&self) -> Vec<&str> {
        self.report().refused.iter().map(|refused| refused.name.as_str()).collect()
    }

    fn resized(&self) -> Vec<(&str, u64, u64)> {
        self.report().resized.iter().map(|one| (one.name.as_str(), one.from, one.to)).collect()
    }
}

pub fn reload(policy: StatePolicy, first: &Build, second: &Build) -> Reloaded {
    reload_with(|builder| builder.state(policy), first, second)
}

fn reload_with(
    options: impl FnOnce(reloader::Builder) -> reloader::Builder,
    first: &Build,
    second: &Build,
) -> Reloaded {
    let paper = Paper::new();
    let bench = Bench::with(first);
    let (mut plugin, seen) = bench.open_with(options);
    paper.give_to(&mut plugin);
    assert_eq!(plugin.step(), Step::Ran(0));
    drop(paper.take());
    seen.forget();
    bench.put(second);
    // Another test's compiler may just be starting, with the file still open for writing: such a
    // build is waited for.
    let mut events = Vec::new();
    step_until(&mut plugin, |step| {
        assert_eq!(step, Step::Ran(0));
        events = seen.take();
        if events.is_empty() {
            drop(paper.take());
        }
        !events.is_empty()
    });
    let said = paper.take();
    let mut report = None;
    let mut refused = Vec::new();
    for event in events {
        match event {
            Event::Reloaded { state, .. } => report = Some(state),
            Event::Refused(refusal) => refused.push(refusal.kind),
            Event::Fault(failure) => panic!("{failure}"),
            _ => {}
        }
    }
    plugin.close();
    Reloaded { said, report, refused }
}

/// Three variables, and one that is no state.
const ABC: &str = "static int CR_STATE a = 1; static int CR_STATE b = 2; static int CR_STATE c = 3; static int data = 7;";
const SET: &str = "a = 111; b = 222; c = 333; data = 77;";
const SAY: &str = r#"say("%d %d %d, %d", a, b, c, data);"#;

fn abc() -> Build {
    guest(ABC, &format!("{SET} {SAY}"))
}

/// For each policy what the step after the reload says, and whether the build was refused.
fn under_each_policy(second: &Build, expected: [(StatePolicy, &str, bool); 5]) {
    for (policy, said, refused) in expected {
        let reloaded = reload(policy, &abc(), second);
        assert_eq!(reloaded.said, said, "{policy:?}: {reloaded:?}");
        let kinds: &[RefusalKind] = if refused { &[RefusalKind::State] } else { &[] };
        assert_eq!(reloaded.refused, kinds, "{policy:?}: {reloaded:?}");
        assert_eq!(reloaded.report.is_none(), refused, "{policy:?}: {reloaded:?}");
    }
}

/// What a version says that runs on, because the new build was refused.
const RUNS_ON: &str = "111 222 333, 77";

#[test]
fn an_unchanged_layout_is_kept_under_every_policy_but_off_and_ordinary_data_under_none() {
    under_each_policy(
        &guest(ABC, SAY),
        [
            (StatePolicy::BySymbol, "111 222 333, 7", false),
            (StatePolicy::Identical, "111 222 333, 7", false),
            (StatePolicy::SameSize, "111 222 333, 7", false),
            (StatePolicy::Fits, "111 222 333, 7", false),
            (StatePolicy::Off, "1 2 3, 7", false),
        ],
    );
    let reloaded = reload(StatePolicy::BySymbol, &abc(), &guest(ABC, SAY));
    assert_eq!(reloaded.report().carried, ["a", "b", "c"]);
    assert!(reloaded.report().is_whole());
    assert_eq!(reloaded.report().bytes, 12);
}

#[test]
fn a_state_that_grows_keeps_what_it_had_and_the_new_variable_has_its_initialiser() {
    for grown in ["int CR_STATE d = 44;", "long CR_STATE d = 44;"] {
        let second = guest(
            &format!("{ABC} static {grown}"),
            r#"say("%d %d %d %d, %d", a, b, c, (int)d, data);"#,
        );
        let reloaded = reload(StatePolicy::BySymbol, &abc(), &second);
        assert_eq!(reloaded.said, "111 222 333 44, 7");
        assert_eq!(reloaded.report().carried, ["a", "b", "c"]);
        assert_eq!(reloaded.report().new, ["d"]);
        assert!(reloaded.report().is_whole());
        under_each_policy(
            &second,
            [
                (StatePolicy::BySymbol, "111 222 333 44, 7", false),
                (StatePolicy::Identical, RUNS_ON, true),
                (StatePolicy::SameSize, RUNS_ON, true),
                (StatePolicy::Fits, "111 222 333 44, 7", false),
                (StatePolicy::Off, "1 2 3 44, 7", false),
            ],
        );
    }
}

#[test]
fn a_state_that_shrinks_keeps_the_rest_and_the_loss_is_reported() {
    let second = guest(
        "static int CR_STATE a = 1; static int CR_STATE c = 3; static int data = 7;",
        r#"say("%d %d, %d", a, c, data);"#,
    );
    under_each_policy(
        &second,
        [
            (StatePolicy::BySymbol, "111 333, 7", false),
            (StatePolicy::Identical, RUNS_ON, true),
            (StatePolicy::SameSize, RUNS_ON, true),
            (StatePolicy::Fits, RUNS_ON, true),
            (StatePolicy::Off, "1 3, 7", false),
        ],
    );
    let reloaded = reload(StatePolicy::BySymbol, &abc(), &second);
    assert_eq!(reloaded.report().dropped, ["b"]);
    assert!(!reloaded.report().is_whole());
}

#[test]
fn by_symbol_a_variable_in_front_shifts_nothing() {
    let second = guest(
        &format!("static int CR_STATE first = 9; {ABC}"),
        r#"say("%d %d %d %d, %d", first, a, b, c, data);"#,
    );
    let reloaded = reload(StatePolicy::BySymbol, &abc(), &second);
    assert_eq!(reloaded.said, "9 111 222 333, 7");
    assert_eq!(reloaded.report().new, ["first"]);
    assert!(reloaded.report().is_whole());
    for policy in [StatePolicy::Identical, StatePolicy::SameSize] {
        assert_eq!(reload(policy, &abc(), &second).refused, [RefusalKind::State]);
    }
}

#[test]
fn by_symbol_the_order_does_not_matter() {
    let second = guest(
        "static int CR_STATE c = 3; static int CR_STATE a = 1; static int CR_STATE b = 2; static int data = 7;",
        SAY,
    );
    let reloaded = reload(StatePolicy::BySymbol, &abc(), &second);
    assert_eq!(reloaded.said, "111 222 333, 7");
    assert!(reloaded.report().is_whole());
}

#[test]
fn a_variable_of_another_type_of_the_same_size_keeps_its_bytes() {
    let second = guest(
        "static int CR_STATE a = 1; static unsigned char CR_STATE b[4] = {9, 9, 9, 9}; static int CR_STATE c = 3; static int data = 7;",
        r#"say("%d %d %d, %d", a, b[0] + 256 * b[1], c, data);"#,
    );
    let reloaded = reload(StatePolicy::BySymbol, &abc(), &second);
    assert_eq!(reloaded.said, "111 222 333, 7");
    assert_eq!(reloaded.report().carried, ["a", "b", "c"]);
}

#[test]
fn a_type_that_widened_and_an_array_that_grew_keep_what_fits_and_are_reported() {
    let first = guest(
        "static int CR_STATE n = 1; static int CR_STATE list[3] = {1, 2, 3}; static long CR_STATE big = 5; struct thing { int x; } static CR_STATE thing = {1};",
        "n = 111; list[0] = 10; list[1] = 20; list[2] = 30; big = 77; thing.x = 8;",
    );
    let second = guest(
        "static long CR_STATE n = 2; static int CR_STATE list[5] = {-1, -2, -3, -4, -5}; static int CR_STATE big = 6; struct thing { int x; int y; } static CR_STATE thing = {1, 2};",
        r#"say("%ld %d %d %d %d %d %d %d %d", n, list[0], list[1], list[2], list[3], list[4], big, thing.x, thing.y);"#,
    );
    let reloaded = reload(StatePolicy::BySymbol, &first, &second);
    assert_eq!(reloaded.said, "111 10 20 30 -4 -5 77 8 2");
    let mut resized = reloaded.resized();
    resized.sort_unstable();
    assert_eq!(resized, [("big", 8, 4), ("list", 12, 20), ("n", 4, 8), ("thing", 4, 8)]);
    let back = reload(StatePolicy::BySymbol, &second, &first);
    assert_eq!(back.report().resized.len(), 4);
}

#[test]
fn an_array_whose_numbers_have_another_width_has_the_same_numbers() {
    let first = guest(
        "static int CR_STATE wide[3] = {1}; static short CR_STATE grid[2][2] = {{1}}; \
         static long CR_STATE narrow[2] = {1}; static int CR_STATE flag = 2; \
         static int CR_STATE flags[2] = {0};",
        "wide[0] = -4; wide[1] = 5; wide[2] = 6; grid[0][1] = -7; grid[1][1] = 8; \
         narrow[0] = 9; narrow[1] = 1L << 40; flag = 2; flags[0] = 1; flags[1] = 0;",
    );
    let second = guest(
        "static long CR_STATE wide[2] = {-1, -1}; static int CR_STATE grid[2][2] = {{-1}}; \
         static int CR_STATE narrow[2] = {2, 3}; static _Bool CR_STATE flag = 1; \
         static _Bool CR_STATE flags[3] = {0, 1, 1};",
        r#"say("%ld %ld %d %d %d %d %d %d%d%d", wide[0], wide[1], grid[0][1], grid[1][1], narrow[0],
            narrow[1], flag, flags[0], flags[1], flags[2]);"#,
    );
    for compiler in ["gcc", "clang"] {
        let [first, second] = [&first, &second].map(|build| build.clone().compiler(compiler));
        let reloaded = reload(StatePolicy::BySymbol, &first, &second);
        assert_eq!(reloaded.said, "-4 5 -7 8 2 3 1 101", "{compiler}");
        let mut refused = reloaded.refused();
        refused.sort_unstable();
        assert_eq!(refused, ["flag", "narrow"], "{compiler}");
    }
}

/// With debug information a number stays the number that it is, whatever its new type's other bytes
/// were.
#[test]
fn a_number_of_another_width_is_the_same_number_or_refused() {
    let first = guest(
        "typedef int number; static number CR_STATE n = 1; static unsigned CR_STATE u = 1; \
         static float CR_STATE f = 1; static long CR_STATE narrow = 1; static long CR_STATE wide = 1; \
         static int CR_STATE negative = 1; enum e { A } static CR_STATE e = A;",
        "n = -5; u = 4000000000u; f = 1.5f; narrow = -7; wide = 1L << 40; negative = -1; e = A;",
    );
    let second = guest(
        "static long CR_STATE n = -1; static long CR_STATE u = -1; static double CR_STATE f = 2; \
         static short CR_STATE narrow = 2; static int CR_STATE wide = 2; \
         static unsigned long CR_STATE negative = 2; static long CR_STATE e = -1;",
        r#"say("%ld %ld %.1f %d %d %lu %ld", n, u, f, narrow, wide, negative, e);"#,
    );
    for compiler in ["gcc", "clang"] {
        let [first, second] = [&first, &second].map(|build| build.clone().compiler(compiler));
        let reloaded = reload(StatePolicy::BySymbol, &first, &second);
        assert_eq!(reloaded.said, "-5 4000000000 1.5 -7 2 2 0", "{compiler}");
        let mut refused = reloaded.refused();
        refused.sort_unstable();
        assert_eq!(refused, ["negative", "wide"], "{compiler}");
    }
}

#[test]
fn a_variable_that_moves_to_another_file_is_kept() {
    let first = guest("static int CR_STATE moving = 1;", r#"moving = 5; say("%d", moving);"#);
    for definition in ["int CR_STATE moving = 1;", "static int CR_STATE moving = 1;"] {
        let second = Build::c(main_file("int show(void);", r#"say("%d", show());"#)).source(
            "other",
            format!(
                r#"#include "reloader_guest.h"
{definition} int show(void) {{ return moving; }}"#
            ),
        );
        let reloaded = reload(StatePolicy::BySymbol, &first, &second);
        assert_eq!(reloaded.said, "5", "{definition}");
        assert!(reloaded.report().is_whole());
    }
}

/// Two files with a static of the same name each.
fn twins(order: [&str; 2], show: &str) -> Build {
    let file = |name: &str| {
        format!(
            r#"#include "reloader_guest.h"
static int CR_STATE count = 0; int *{name}(void) {{ return &count; }}"#
        )
    };
    let mut build = Build::c(main_file("int *one(void); int *two(void);", show));
    for name in order {
        build = build.source(name, file(name));
    }
    build
}

#[test]
fn statics_of_the_same_name_in_two_files_are_told_apart() {
    let first = twins(["one", "two"], "*one() = 1; *two() = 2;");
    let second = twins(["two", "one"], r#"say("%d %d", *one(), *two());"#);
    let reloaded = reload(StatePolicy::BySymbol, &first, &second);
    assert_eq!(reloaded.said, "1 2");
    assert_eq!(reloaded.report().carried, ["count", "count"]);
}

#[test]
fn an_image_that_lies_elsewhere_keeps_its_state() {
    apart(|| {
        let paper = Paper::new();
        let bench = Bench::with(&abc());
        let (mut plugin, seen) = bench.open();
        paper.give_to(&mut plugin);
        assert_eq!(plugin.step(), Step::Ran(0));
        for size in [1 << 12, 1 << 20, 32 << 20] {
            // In front of the state and behind it: everything moves, in the image and in memory.
            let globals = format!("char front[{size}] = {{1}}; {ABC} char behind[{size}];");
            bench.put(&guest(&globals, SAY));
            drop(paper.take());
            assert_eq!(plugin.step(), Step::Ran(0));
            assert_eq!(paper.take(), "111 222 333, 7");
        }
        plugin.close();
        assert_eq!(
            seen.words(),
            ["loaded 1", "reloaded 2 from 1", "reloaded 3 from 2", "reloaded 4 from 3", "closed"]
        );
    });
}

#[test]
fn a_moved_state_is_refused_when_identical_addresses_are_asked_for() {
    let globals = format!("char front[8192] = {{1}}; {ABC}");
    under_each_policy(
        &guest(&globals, SAY),
        [
            (StatePolicy::BySymbol, "111 222 333, 7", false),
            (StatePolicy::Identical, RUNS_ON, true),
            (StatePolicy::SameSize, "111 222 333, 7", false),
            (StatePolicy::Fits, "111 222 333, 7", false),
            (StatePolicy::Off, "1 2 3, 7", false),
        ],
    );
}

#[test]
fn a_state_that_first_appears_has_its_initialisers() {
    let without = guest("", r#"say("without");"#);
    let expected = [
        (StatePolicy::BySymbol, "1 2 3, 7"),
        (StatePolicy::Fits, "1 2 3, 7"),
        (StatePolicy::Off, "1 2 3, 7"),
        (StatePolicy::Identical, "without"),
        (StatePolicy::SameSize, "without"),
    ];
    for (policy, said) in expected {
        let reloaded = reload(policy, &without, &guest(ABC, SAY));
        assert_eq!(reloaded.said, said, "{policy:?}");
        if policy == StatePolicy::BySymbol {
            assert_eq!(reloaded.report().new, ["a", "b", "c"]);
            assert!(reloaded.report().is_whole());
        }
    }
}

#[test]
fn a_state_that_disappears_is_reported_or_refused() {
    let without = guest("", r#"say("without");"#);
    under_each_policy(
        &without,
        [
            (StatePolicy::BySymbol, "without", false),
            (StatePolicy::Identical, RUNS_ON, true),
            (StatePolicy::SameSize, RUNS_ON, true),
            (StatePolicy::Fits, RUNS_ON, true),
            (StatePolicy::Off, "without", false),
        ],
    );
    assert_eq!(reload(StatePolicy::BySymbol, &abc(), &without).report().dropped, ["a", "b", "c"]);
}

#[test]
fn a_build_whose_state_is_refused_costs_nothing_and_the_next_one_is_looked_at() {
    apart(|| {
        let paper = Paper::new();
        let bench = Bench::with(&abc());
        let (mut plugin, seen) = bench.open_with(|builder| builder.state(StatePolicy::SameSize));
        paper.give_to(&mut plugin);
        assert_eq!(plugin.step(), Step::Ran(0));
        bench.put(&guest(&format!("{ABC} static int CR_STATE d = 4;"), SAY));
        for _ in 0..3 {
            assert_eq!(plugin.step(), Step::Ran(0));
        }
        drop(paper.take());
        bench.put(&guest(ABC, SAY));
        assert_eq!(plugin.step(), Step::Ran(0));
        assert_eq!(paper.take(), "111 222 333, 7");
        assert_eq!(seen.words(), ["loaded 1", "refused 2 State", "reloaded 2 from 1"]);
    });
}

#[test]
fn another_section_of_the_guests_own_is_left_alone() {
    let other = |value: i32| {
        format!(
            r#"{ABC} static int __attribute__((used, section("my_registry"))) entry = {value};
            static int __attribute__((used, section("zz_registry"))) last[64] = {{{value}}};
            extern int __start_my_registry, __stop_my_registry;"#
        )
    };
    let say = r#"say("%d %d %d, %d; %d %d %d", a, b, c, data, entry, last[0], (int)(&__stop_my_registry - &__start_my_registry));"#;
    let first = guest(&other(1), &format!("{SET} entry = 100; last[0] = 100;"));
    let second = guest(&other(2), say);
    for policy in [StatePolicy::BySymbol, StatePolicy::SameSize, StatePolicy::Fits] {
        let reloaded = reload(policy, &first, &second);
        assert_eq!(reloaded.said, "111 222 333, 7; 2 2 1", "{policy:?}");
    }
    let appears = reload(StatePolicy::BySymbol, &abc(), &second);
    assert_eq!(appears.said, "111 222 333, 7; 2 2 1");
    assert!(appears.report().is_whole());
}

#[test]
fn two_state_sections_are_one_state() {
    let file = r#"#include "reloader_guest.h"
static int __attribute__((used, section(".state,\"aw\",@nobits\n#"))) zeros[100];
int *zero(int at) { return &zeros[at]; }"#;
    let build = |step: &str, front: &str| {
        Build::c(main_file(&format!("int *zero(int at); {front} {ABC}"), step)).source("zero", file)
    };
    let first = build(&format!("{SET} *zero(0) = 5; *zero(99) = 6;"), "");
    let say = r#"say("%d %d %d, %d; %d %d", a, b, c, data, *zero(0), *zero(99));"#;
    for linker in ["bfd", "gold", "lld", "mold"] {
        let linked = |build: &Build| build.clone().flag(format!("-fuse-ld={linker}"));
        let second = build(say, "");
        for policy in [StatePolicy::BySymbol, StatePolicy::SameSize, StatePolicy::Fits] {
            let reloaded = reload(policy, &linked(&first), &linked(&second));
            assert_eq!(reloaded.said, "111 222 333, 7; 5 6", "{linker} {policy:?}");
        }
        let moved = build(say, "char front[10000] = {1};");
        let reloaded = reload(StatePolicy::BySymbol, &linked(&first), &linked(&moved));
        assert_eq!(reloaded.said, "111 222 333, 7; 5 6", "{linker}");
        assert_eq!(reloaded.report().carried.len(), 4);
    }
}

#[test]
fn untagged_zeros_are_carried_only_when_that_is_asked_for() {
    let globals = "static int x; int y; static int list[1000]; static int data = 7; static int CR_STATE a = 1;";
    let first =
        guest(globals, "x = 1000; y = 2000; list[0] = 1; list[999] = 2; data = 77; a = 111;");
    let say = r#"say("%d %d %d %d, %d, %d", x, y, list[0], list[999], data, a);"#;
    let second = guest(globals, say);
    assert_eq!(reload(StatePolicy::BySymbol, &first, &second).said, "0 0 0 0, 7, 111");
    let untagged = |second: &Build| reload_with(|b| b.untagged_bss(true), &first, second);
    assert_eq!(untagged(&second).said, "1000 2000 1 2, 7, 111");
    // Grown, shrunk, moved by something in front: each by its name.
    for other in ["static int front[100]; static int behind[5000];", "static char odd;"] {
        let second = guest(&format!("{other} {globals}"), say);
        assert_eq!(untagged(&second).said, "1000 2000 1 2, 7, 111", "{other}");
    }
    let fewer = guest(
        "int y; static int list[10]; static int data = 7; static int CR_STATE a = 1;",
        r#"say("%d %d, %d, %d", y, list[0], data, a);"#,
    );
    let reloaded = untagged(&fewer);
    assert_eq!(reloaded.said, "2000 1, 7, 111");
    assert_eq!(reloaded.resized(), [("list", 4000, 40)]);
    assert_eq!(reloaded.report().dropped, ["x"]);
}

#[test]
fn untagged_zeros_of_any_alignment_are_carried_whole() {
    let globals = |padding: &str| {
        format!("{padding} static int __attribute__((aligned(64))) list[20]; static int data = 7;")
    };
    let first = guest(&globals(""), "for (int i = 0; i < 20; i++) list[i] = 100 + i;");
    let say = r#"for (int i = 0; i < 20; i++) say("%d ", list[i]);"#;
    let expected: String = (100..120).map(|n| format!("{n} ")).collect();
    for padding in ["", "static int CR_STATE more = 1;", "int more[9] = {1};", "char more = 1;"] {
        let second = guest(&globals(padding), say);
        let reloaded = reload_with(|builder| builder.untagged_bss(true), &first, &second);
        assert_eq!(reloaded.said, expected, "{padding}");
    }
}

/// Whether -3 of two bytes is -3 or 65533 in four, nothing tells.
#[test]
fn a_number_of_another_width_is_refused_where_nothing_tells_its_sign() {
    let first = guest(
        "static short CR_STATE s = 1; static unsigned short CR_STATE u = 1; static char CR_STATE list[3] = \"a\"; static int CR_STATE same = 1;",
        "s = -3; u = 65533; list[0] = 'b'; same = -3;",
    );
    let second = guest(
        "static int CR_STATE s = 7; static unsigned CR_STATE u = 7; static char CR_STATE list[6] = \"cd\"; static int CR_STATE same = 1;",
        r#"say("%d %u %s %d", s, u, list, same);"#,
    );
    for flag in ["-g0", "-g1", "-s"] {
        let reloaded =
            reload(StatePolicy::BySymbol, &first.clone().flag(flag), &second.clone().flag(flag));
        if flag == "-s" {
            assert_eq!(reloaded.said, "7 7 cd 1");
            continue;
        }
        assert_eq!(reloaded.said, "7 7 b -3", "{flag}");
        assert_eq!(reloaded.refused(), ["s", "u"], "{flag}");
        assert!(reloaded.report().to_string().contains("sign"), "{flag}");
    }
    assert_eq!(reload(StatePolicy::BySymbol, &first, &second).said, "-3 65533 b -3");
}

/// Functions with a static each, and what they count.
fn with_function_statics(functions: &str, step: &str) -> Build {
    guest(functions, step)
}

const F: &str = "static int *f(void) { static int CR_STATE n = 1; return &n; }";
const G: &str = "static int *g(void) { static int CR_STATE n = 2; return &n; }";

#[test]
fn statics_of_functions_are_kept_while_the_functions_stay() {
    let set = "*f() = 100; *g() = 200;";
    let say = r#"say("%d %d", *f(), *g());"#;
    for compiler in ["gcc", "clang"] {
        let build = |functions: String, step: &str| {
            with_function_statics(&functions, step).compiler(compiler)
        };
        let first = build(format!("{F} {G}"), set);
        let same = reload(StatePolicy::BySymbol, &first, &build(format!("{F} {G}"), say));
        assert_eq!(same.said, "100 200", "{compiler}");
    }
}

/// gcc calls them `n.0` and `n.1` in an order of its own, so that names alone do not say whose they
/// are.
#[test]
fn renumbered_statics_of_functions_are_kept_or_refused_but_never_swapped() {
    let set = "*f() = 100; *g() = 200;";
    let say = r#"say("%d %d", *f(), *g());"#;
    let other = "static int *h(void) { static int CR_STATE k = 3; return &k; }";
    let another = "static int *h(void) { static int CR_STATE n = 3; return &n; }";
    let g_with_more = "static int *g(void) { static int CR_STATE k = 4; static int CR_STATE n = 2; k++; return &n; }";
    let f_with_more = "static int *f(void) { static int CR_STATE n = 1; static int CR_STATE k = 4; k++; return &n; }";
    let changes = [
        format!("{G} {F}"),
        format!("{F} {other} {G}"),
        format!("{other} {F} {G}"),
        format!("{F} {G} {other}"),
        format!("{another} {F} {G}"),
        format!("{F} {G} {another}"),
        format!("{F} {g_with_more}"),
        format!("{f_with_more} {G}"),
        format!("{g_with_more} {f_with_more}"),
    ];
    for compiler in ["gcc", "clang"] {
        let first = with_function_statics(&format!("{F} {G}"), set).compiler(compiler);
        for functions in &changes {
            let keep = if functions.contains("h(void)") { "(void)h();" } else { "" };
            let second =
                with_function_statics(functions, &format!("{keep} {say}")).compiler(compiler);
            let reloaded = reload(StatePolicy::BySymbol, &first, &second);
            let kept = reloaded.said == "100 200" && reloaded.refused().is_empty();
            let refused = reloaded.said == "1 2" && reloaded.refused().len() == 2;
            assert!(kept || refused, "{compiler}: {functions}: {reloaded:?}");
        }
    }
}

/// `f` loses its static and `h` gets one of that name: the names are the same as before.
#[test]
fn a_static_of_another_function_does_not_inherit() {
    let first = with_function_statics(&format!("{F} {G}"), "*f() = 100; *g() = 200;");
    let second = with_function_statics(
        &format!("{G} static int *h(void) {{ static int CR_STATE n = 3; return &n; }}"),
        r#"say("%d %d", *g(), *h());"#,
    );
    let reloaded = reload(StatePolicy::BySymbol, &first, &second);
    assert!(["200 3", "2 3"].contains(&reloaded.said.as_str()), "{reloaded:?}");
    if reloaded.said == "2 3" {
        assert!(!reloaded.refused().is_empty(), "{reloaded:?}");
    }
}

#[test]
fn exported_and_local_variables_of_one_name_are_two() {
    let first = Build::c(main_file(
        "int CR_STATE twin = 1; int *local(void);",
        "twin = 10; *local() = 20;",
    ))
    .source(
        "local",
        "#include \"reloader_guest.h\"\nstatic int CR_STATE twin = 2; int *local(void) { return &twin; }",
    );
    let second = Build::c(main_file(
        "int CR_STATE twin = 1; int *local(void);",
        r#"say("%d %d", twin, *local());"#,
    ))
    .source(
        "local",
        "#include \"reloader_guest.h\"\nstatic char CR_STATE pad = 1; static int CR_STATE twin = 2; int *local(void) { return &twin + !pad; }",
    );
    assert_eq!(reload(StatePolicy::BySymbol, &first, &second).said, "10 20");
}
