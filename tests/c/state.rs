//! What becomes of the state, mode by mode.

use reloader_tests::Build;

use crate::program::{Script, guest, guest_cxx, host};

const MODES: [&str; 4] = ["CR_SAFEST", "CR_SAFE", "", "CR_DISABLE"];

/// A guest whose variables the host reads, as it says: 1, 2, 3 are `a`, `b`, `c`, 4 is `d` or
/// another. In version 1 the first step gives them 111, 222, 333.
fn with(variables: &str) -> Build {
    let fourth = if variables.contains(" d ") { "(int)d" } else { "0" };
    guest(
        variables,
        &format!(
            "if (ctx->version == 1 && operation == CR_STEP) {{ a = 111; b = 222; c = 333; }}\n\
             switch (mode) {{ case 1: return (int)a; case 2: return (int)b; case 3: return (int)c;\n\
             case 4: return {fourth}; }} return 0;"
        ),
    )
}

const ABC: &str =
    "static int CR_STATE a = 1; static int CR_STATE b = 2; static int CR_STATE c = 3;\n";

/// What `a`, `b`, `c`, `d` are after the reload, or how the build is refused.
fn after(first: &Build, second: &Build, mode: &str) -> Vec<String> {
    let script = Script::new(first).update(1).put(second).update(1);
    let script = (1..=4).fold(script, |script, it| script.and(&format!("mode:{it}")).update(1));
    let lines = script.and("close").updates(&host(mode));
    if lines[1].ends_with("1 7") {
        assert_eq!(lines[1], "0 1 7", "the running version runs on");
        return vec!["refused".to_owned()];
    }
    lines[2..].iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// What it is in each of the modes.
#[track_caller]
fn check(second: &str, wanted: [&str; 4]) {
    for (mode, wanted) in MODES.into_iter().zip(wanted) {
        let values = after(&with(ABC), &with(second), mode).join(" ");
        assert_eq!(values, wanted, "{mode}: {second}");
    }
}

#[test]
fn an_unchanged_build_keeps_everything() {
    check(
        &format!("{ABC}\n/* built again */"),
        ["111 222 333 0", "111 222 333 0", "111 222 333 0", "1 2 3 0"],
    );
}

#[test]
fn what_is_new_starts_with_its_initialiser_and_the_rest_is_kept() {
    let grown = format!("{ABC}static int CR_STATE d = 44;\n");
    check(&grown, ["refused", "refused", "111 222 333 44", "1 2 3 44"]);
    let by_eight = format!("{ABC}static long CR_STATE d = 44;\n");
    check(&by_eight, ["refused", "refused", "111 222 333 44", "1 2 3 44"]);
    let in_front = format!("static int CR_STATE d = 44;\n{ABC}");
    check(&in_front, ["refused", "refused", "111 222 333 44", "1 2 3 44"]);
    let much =
        format!("{ABC}static long CR_STATE d = 44; static char CR_STATE more[999] = \"x\";\n");
    check(&much, ["refused", "refused", "111 222 333 44", "1 2 3 44"]);
}

#[test]
fn reordered_variables_keep_their_own_values() {
    let reordered =
        "static int CR_STATE c = 3; static int CR_STATE a = 1; static int CR_STATE b = 2;\n";
    let kept = "111 222 333 0";
    check(reordered, [kept, kept, kept, "1 2 3 0"]);
}

#[test]
fn widened_and_shrunken_state_keeps_what_it_has() {
    let widened =
        "static int CR_STATE a = 1; static long CR_STATE b = 2; static int CR_STATE c = 3;\n";
    check(widened, ["refused", "refused", "111 222 333 0", "1 2 3 0"]);
    let dropped = "static int CR_STATE a = 1; static int c = 3; static int CR_STATE b = 2;\n";
    check(dropped, ["refused", "refused", "111 222 3 0", "1 2 3 0"]);
}

#[test]
fn state_that_first_appears_or_disappears_is_refused_by_the_modes_that_compare_sizes_only() {
    let plain = ABC.replace("CR_STATE ", "");
    let initial = Some(["1", "2", "3", "0"]);
    for (mode, wanted) in MODES.into_iter().zip([None, None, initial, initial]) {
        for (first, second) in [(plain.as_str(), ABC), (ABC, plain.as_str())] {
            let values = after(&with(first), &with(second), mode);
            match wanted {
                None => assert_eq!(values, ["refused"], "{mode}"),
                // And not zeros.
                Some(wanted) => assert_eq!(values, wanted, "{mode}"),
            }
        }
    }
}

#[test]
fn moved_state_is_refused_by_the_safest_mode_only() {
    let moved = format!("{ABC}long far[4000] = {{ 1 }};\n");
    check(&moved, ["refused", "111 222 333 0", "111 222 333 0", "1 2 3 0"]);
}

#[test]
fn a_refused_build_is_followed_by_the_next_one() {
    let script =
        Script::new(&with(ABC)).update(1).put(&with(&format!("{ABC}static int CR_STATE d = 4;")));
    let script =
        script.update(2).put(&with(&format!("{ABC}\n/* again */"))).and("mode:1").update(1);
    assert_eq!(script.updates(&host("CR_SAFE")), ["0 1 0", "0 1 7", "0 1 0", "111 2 0"]);
}

/// Counts in variables that are not tagged.
fn untagged(more: &str) -> String {
    format!(
        "{more}\nstatic int zero; static int other; static int data = 7; static int CR_STATE steps = 0;\n\
         static int told(int mode) {{ return mode == 1 ? zero : mode == 2 ? other : mode == 3 ? data : steps; }}"
    )
}

const COUNT: &str = "if (operation == CR_STEP && !mode) { zero++; other += 10; data++; steps++; } return told(mode);";

#[test]
fn untagged_zeros_are_carried_and_untagged_data_is_not() {
    let first = guest(&untagged(""), COUNT);
    let grown = guest(
        &untagged("static int before[1000]; int *keep(void); int *keep(void) { return before; }"),
        COUNT,
    );
    for second in [guest(&untagged("/* again */"), COUNT), grown] {
        let script = Script::new(&first).update(2).put(&second).and("mode:1").update(1);
        let script = script.and("mode:2").update(1).and("mode:3").update(1).and("mode:4").update(1);
        assert_eq!(script.updates(&host(""))[2..], ["2 2 0", "20 2 0", "7 2 0", "2 2 0"]);
    }
}

#[test]
fn the_untagged_zeros_count_for_the_modes_that_compare_sizes() {
    let small = untagged("");
    let large =
        untagged("static int more[1000]; int *keep(void); int *keep(void) { return more; }");
    for (first, second) in [(&small, &large), (&large, &small)] {
        for (mode, wanted) in MODES.into_iter().zip([None, None, Some("2"), Some("0")]) {
            let script = Script::new(&guest(first, COUNT)).update(2).put(&guest(second, COUNT));
            let lines = script.and("mode:1").update(2).and("close").updates(&host(mode));
            match wanted {
                None => assert_eq!(lines[2..], ["2 1 7", "2 1 0"], "{mode}"),
                Some(zero) => assert_eq!(lines[3], format!("{zero} 2 0"), "{mode}"),
            }
        }
    }
}

#[test]
fn untagged_zeros_that_are_aligned_keep_every_element() {
    let guest = |more: &str| {
        let variables = format!(
            "static int small; {more}\nstatic int block[64] __attribute__((aligned(64)));\n"
        );
        guest(
            &variables,
            "if (operation == CR_STEP && mode == 1) { small = 5; for (int i = 0; i < 64; i++) block[i] = i; }\n\
             int sum = small; for (int i = 0; i < 64; i++) sum += block[i] == i; return sum * 100 + block[63];",
        )
    };
    // What lies before the aligned ones grows, and shrinks again.
    let more = "static char pad[9]; char *keep(void); char *keep(void) { return pad; }";
    let script = Script::new(&guest("")).and("mode:1").update(1).and("mode:0");
    let script = script.put(&guest(more)).update(1).put(&guest("")).update(1).and("close");
    assert_eq!(script.updates(&host("")), ["6963 1 0", "6963 2 0", "6963 3 0"]);
}

#[test]
fn what_a_thread_has_for_itself_starts_fresh() {
    let build = |base| {
        guest(
            "static __thread int own = 7;",
            &format!("if (operation == CR_STEP) own++; return {base} + own;"),
        )
    };
    let script = Script::new(&build(100)).update(2).put(&build(200)).update(1).and("close");
    assert_eq!(script.updates(&host("")), ["108 1 0", "109 1 0", "208 2 0"]);
}

#[test]
fn where_destructors_are_registered_untagged_zeros_start_fresh() {
    let more = "#include <vector>\nstatic std::vector<int> numbers;\n\
                int sum(); int sum() { int s = 0; for (int n : numbers) s += n; return s; }";
    let body = "if (operation == CR_LOAD) for (int i = 0; i < 1000; i++) numbers.push_back(1);\n\
                if (mode == 5) return sum();\n";
    let build = |n| guest_cxx(&untagged(&format!("{more}\n/* {n} */")), &format!("{body}{COUNT}"));
    let mut script = Script::new(&build(1)).update(2);
    for n in 2..5 {
        script = script.put(&build(n)).and("mode:5").update(1).and("mode:1").update(1);
    }
    let script = script.and("mode:4").update(1).and("close");
    assert_eq!(
        script.updates(&host(""))[2..],
        ["1000 2 0", "0 2 0", "1000 3 0", "0 3 0", "1000 4 0", "0 4 0", "2 4 0"]
    );
}
