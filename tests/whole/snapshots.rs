//! The state as a value: taken, looked at, put back.

use reloader::{ErrorKind, Event, Memory, Plugin, Step};
use reloader_tests::{Bench, Build, PEN, Paper, apart};

fn guest(build: i32, globals: &str, step: &str) -> Build {
    Build::c(format!(
        r#"{PEN}
#define BUILD {build}
{globals}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}"#
    ))
}

fn step(plugin: &mut Plugin, paper: &Paper) -> String {
    assert_eq!(plugin.step(), Step::Ran(0));
    paper.take()
}

const COUNTERS: &str =
    "static int CR_STATE a = 1; static long CR_STATE b = 2; static int data = 3;";
const COUNT: &str = r#"a++; b += 10; data++; say("%d %ld %d", a, b, data);"#;

#[test]
fn a_snapshot_shows_the_variables_and_puts_them_back() {
    apart(|| {
        let paper = Paper::new();
        let bench = Bench::with(&guest(1, COUNTERS, COUNT));
        let (mut plugin, _) = bench.open();
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "2 12 4");
        let snapshot = plugin.snapshot().unwrap();
        assert_eq!(snapshot.version(), 1);
        let mut variables: Vec<_> =
            snapshot.variables().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
        variables.sort();
        assert_eq!(
            variables,
            [
                ("a".to_owned(), 2_i32.to_ne_bytes().to_vec()),
                ("b".to_owned(), 12_i64.to_ne_bytes().to_vec())
            ]
        );
        assert_eq!(step(&mut plugin, &paper), "3 22 5");
        let report = plugin.restore(&snapshot).unwrap();
        assert_eq!(report.carried.len(), 2);
        assert!(report.is_whole());
        assert_eq!(report.bytes, 12);
        assert_eq!(step(&mut plugin, &paper), "3 22 6");
        // It stays a value of its own.
        plugin.restore(&snapshot.clone()).unwrap();
        assert_eq!(step(&mut plugin, &paper), "3 22 7");
    });
}

#[test]
fn a_number_that_was_saved_narrower_is_put_back_where_its_sign_does_not_matter() {
    apart(|| {
        let paper = Paper::new();
        let narrow = "static short CR_STATE a = 5; static short CR_STATE b = -3;";
        let say = r#"say("%d %d", (int)a, (int)b);"#;
        let bench = Bench::with(&guest(1, narrow, say));
        let (mut plugin, _) = bench.open();
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "5 -3");
        let snapshot = plugin.snapshot().unwrap();
        let wide = "static int CR_STATE a = -1; static int CR_STATE b = -1;";
        bench.put(&guest(2, wide, &format!("{say} a = -7; b = -7;")));
        assert_eq!(step(&mut plugin, &paper), "5 -3");
        let report = plugin.restore(&snapshot).unwrap();
        assert_eq!(step(&mut plugin, &paper), "5 -7");
        assert_eq!(report.refused.len(), 1, "{report}");
    });
}

#[test]
fn a_snapshot_outlives_its_version_and_goes_into_any_other() {
    apart(|| {
        let paper = Paper::new();
        let bench = Bench::with(&guest(1, COUNTERS, COUNT));
        let (mut plugin, _) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "2 12 4");
        let snapshot = plugin.snapshot().unwrap();
        bench.put(&guest(
        2,
        "char front[100000] = {1}; static int CR_STATE c = 5; static int CR_STATE b = 7; static int CR_STATE a = 9;",
        r#"a++; b++; say("%d %d %d", a, b, c);"#,
    ));
        assert_eq!(step(&mut plugin, &paper), "3 13 5");
        assert_eq!(step(&mut plugin, &paper), "4 14 5");
        let report = plugin.restore(&snapshot).unwrap();
        assert_eq!(report.carried, ["a"]);
        assert_eq!(report.new, ["c"]);
        let resized: Vec<_> =
            report.resized.iter().map(|one| (one.name.as_str(), one.from, one.to)).collect();
        assert_eq!(resized, [("b", 8, 4)]);
        assert_eq!(step(&mut plugin, &paper), "3 13 5");
        // Into another plugin altogether.
        let (mut another, _) = bench.open();
        paper.give_to(&mut another);
        assert_eq!(step(&mut another, &paper), "10 8 5");
        another.restore(&snapshot).unwrap();
        assert_eq!(step(&mut another, &paper), "3 13 5");
    });
}

#[test]
fn pointers_in_a_snapshot_lead_to_the_same_things_in_the_version_it_is_put_into() {
    apart(|| {
        let globals = r#"
static int own = 5;
static int function(void) { return BUILD; }
static int (*CR_STATE call)(void); static int *CR_STATE pointer; static const char *CR_STATE text; static int CR_STATE n;
const char *literals[] = {"a literal"};
"#;
        let fill = r#"call = function; pointer = &own; text = literals[0]; n = 1;"#;
        let show =
            r#"if (!call) say("nothing"); else say("%d %d %s", call(), pointer == &own, text);"#;
        let paper = Paper::new();
        let bench = Bench::with(&guest(1, globals, fill));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        step(&mut plugin, &paper);
        let snapshot = plugin.snapshot().unwrap();
        plugin.close();
        assert!(
            seen.take().iter().any(|event| matches!(
                event,
                Event::Retired { version: 1, memory: Memory::Unmapped }
            ))
        );
        let moved = format!("char front[50000] = {{1}}; {globals}");
        bench.put(&guest(7, &moved, show));
        let (mut plugin, _) = bench.open();
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "nothing");
        let report = plugin.restore(&snapshot).unwrap();
        assert!(report.is_whole(), "{report}");
        assert_eq!(report.translated, 3);
        assert_eq!(step(&mut plugin, &paper), "7 1 a literal");
        // What leads to something that is not there is refused, and the rest is put back.
        let without = r#"
static int own = 5; static int (*CR_STATE call)(void) = 0; static int *CR_STATE pointer; static const char *CR_STATE text;
static int CR_STATE n = 0;"#;
        bench.put(&guest(8, without, r#"say("%d %d %d %d", !call, pointer == &own, !text, n);"#));
        let (mut plugin, _) = bench.open();
        paper.give_to(&mut plugin);
        step(&mut plugin, &paper);
        let report = plugin.restore(&snapshot).unwrap();
        let mut refused: Vec<_> = report.refused.iter().map(|one| one.name.as_str()).collect();
        refused.sort_unstable();
        assert_eq!(refused, ["call", "text"]);
        assert_eq!(report.translated, 1);
        assert_eq!(step(&mut plugin, &paper), "1 1 1 1");
    });
}

#[test]
fn without_a_version_there_is_no_state() {
    apart(|| {
        let bench = Bench::new();
        bench.put_bytes(b"this is no library");
        let (mut plugin, _) = bench.open();
        assert_eq!(plugin.step(), Step::Idle);
        assert_eq!(plugin.snapshot().unwrap_err().kind(), ErrorKind::NoVersion);
        bench.put(&guest(1, COUNTERS, COUNT));
        assert_eq!(plugin.step(), Step::Ran(0));
        let snapshot = plugin.snapshot().unwrap();
        bench.put_bytes(b"this is no library");
        let (mut empty, _) = bench.open();
        assert_eq!(empty.step(), Step::Idle);
        assert_eq!(empty.restore(&snapshot).unwrap_err().kind(), ErrorKind::NoVersion);
    });
}
