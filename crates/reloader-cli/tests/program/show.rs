use std::fs;
use std::path::Path;

use crate::guest::has_compiler;
use crate::session::{End, Session, program};

const PROMISED: [&str; 7] = [
    "loaded",
    "counter_kept",
    "carried_by_name",
    "crash_located",
    "rolled_back",
    "fixed",
    "closed",
];

#[test]
fn the_demo_observes_all_that_it_promises_and_leaves_nothing_behind() {
    if !has_compiler() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let end =
        Session::spawn(program().args(["demo", "--json"]).env("TMPDIR", temporary.path())).end();
    assert!(end.status.success(), "{}", end.error_text());
    let events = end.events();
    let named = |name: &str| events.iter().filter(|it| it["event"] == name).collect::<Vec<_>>();
    let observed: Vec<_> =
        named("observed").iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(observed, PROMISED);
    assert_eq!(events.last().unwrap()["observed"], PROMISED.len());
    assert_eq!(named("loaded").len(), 1);
    assert_eq!(named("edited").len(), 4);
    assert_eq!(named("built").len(), 5);
    let [fault] = named("fault")[..] else { panic!("{:?}", end.output) };
    let [.., broken, _] = named("edited")[..] else { panic!("{:?}", end.output) };
    let added = broken["added"].as_array().unwrap();
    let crash = added.iter().position(|it| it.as_str().unwrap().contains("*(volatile")).unwrap();
    assert_eq!(fault["line"], broken["line"].as_u64().unwrap() + crash as u64);
    assert_eq!(fault["file"], broken["file"]);
    let reloads = named("reloaded");
    assert_eq!(reloads.len(), 4);
    for reloaded in reloads {
        let carried = reloaded["state"]["carried"].as_array().unwrap();
        assert!(carried.iter().any(|name| name == "counter"), "{reloaded}");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_tells_its_story_to_a_reader() {
    if !has_compiler() {
        return;
    }
    let end = Session::start(["demo"]).end();
    assert!(end.status.success(), "{}", end.error_text());
    let text = end.output.join("\n");
    for words in [
        "counts its steps: 1, 2, 3",
        "- counter += 1;",
        "+ counter += 10;",
        "+ static int CR_STATE lives = 3;",
        "the counter found by its name",
        "fault ",
        "found in its line",
        "rolled back version 4 -> 3",
        "runs again with the state it had",
        "the mended code runs",
        "all 7 things were observed",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn what_is_kept_is_the_mended_library_with_its_source() {
    if !has_compiler() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let mut command = program();
    let end =
        Session::spawn(command.args(["demo", "--json", "--keep"]).env("TMPDIR", temporary.path()))
            .end();
    assert!(end.status.success(), "{}", end.error_text());
    let kept = end.events().pop().unwrap();
    assert_eq!(kept["event"], "kept");
    let directory = Path::new(kept["directory"].as_str().unwrap());
    assert!(fs::read_to_string(directory.join("guest.c")).unwrap().contains("counter += 100;"));
    let library = directory.join("libguest.so");
    let again =
        Session::spawn(program().args(["run", "--json", "--steps", "1"]).arg(library)).end();
    assert_eq!(again.closed(0)["steps"], 1);
}

#[test]
fn without_a_compiler_the_demo_says_what_is_missing_and_the_cure() {
    let end = with_compiler("/no/such/compiler");
    assert_eq!(end.status.code(), Some(1));
    let error = end.error_text();
    assert!(error.contains("/no/such/compiler") && error.contains("CC"), "{error}");
    assert!(error.contains("install"), "{error}");
}

#[test]
fn a_compiler_that_fails_is_named_with_the_source() {
    let end = with_compiler("false");
    assert_eq!(end.status.code(), Some(1));
    let error = end.error_text();
    assert!(error.contains("guest.c: false failed"), "{error}");
}

fn with_compiler(compiler: &str) -> End {
    Session::spawn(program().arg("demo").env("CC", compiler)).end()
}
