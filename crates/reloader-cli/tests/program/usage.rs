use crate::session::{End, Session};

fn run(arguments: &[&str]) -> End {
    Session::start(arguments).end()
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    for (arguments, word) in [
        (&[][..], "Usage"),
        (&["no-such-command"], "no-such-command"),
        (&["run"], "LIB"),
        (&["run", "lib.so", "--state", "sometimes"], "by-symbol"),
        (&["run", "lib.so", "--steps", "0"], "--steps"),
        (&["run", "lib.so", "--deadline", "0"], "--deadline"),
        (&["run", "lib.so", "--interval", "soon"], "--interval"),
        (&["demo", "lib.so"], "lib.so"),
    ] {
        let end = run(arguments);
        assert_eq!(end.status.code(), Some(2), "{arguments:?}");
        assert!(end.error_text().contains(word), "{arguments:?}: {}", end.error_text());
        assert!(end.output.is_empty(), "{arguments:?}: {:?}", end.output);
    }
}

#[test]
fn a_library_that_is_not_there_is_a_failure_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("libmissing.so");
    let path = path.to_str().unwrap();
    for arguments in [&["run", path][..], &["run", "--json", path]] {
        let end = run(arguments);
        assert_eq!(end.status.code(), Some(1));
        let error = end.error_text();
        assert!(error.contains(path) && error.contains("--wait"), "{error}");
        assert_eq!(error.matches("os error").count(), 1, "{error}");
        assert!(end.output.is_empty(), "{:?}", end.output);
    }
}

#[test]
fn a_directory_is_no_library() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let end = run(&["run", path]);
    assert_eq!(end.status.code(), Some(1));
    assert!(end.error_text().contains(path), "{}", end.error_text());
}

#[test]
fn the_long_help_of_run_names_every_event_and_field() {
    let help = run(&["run", "--help"]).output.join("\n");
    for word in [
        "loaded",
        "reloaded",
        "refused",
        "fault",
        "rolled_back",
        "closed",
        "event",
        "version",
        "micros",
        "from",
        "state",
        "carried",
        "new",
        "dropped",
        "resized",
        "bytes",
        "translated",
        "untranslated",
        "kind",
        "reason",
        "operation",
        "value",
        "address",
        "pc",
        "function",
        "file",
        "line",
        "message",
        "steps",
    ] {
        let documented = help.lines().any(|line| {
            line.strip_prefix("  ")
                .is_some_and(|line| line.trim_start().split([' ', ':']).next() == Some(word))
        });
        assert!(documented || help.contains(&format!("{word},")), "{word} is not in\n{help}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["run", "-h"], &["demo", "--help"]] {
        let end = run(arguments);
        assert_eq!(end.status.code(), Some(0));
        assert!(!end.output.is_empty());
    }
}
