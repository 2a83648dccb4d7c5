//! What is noticed, and what lies around afterwards.

use std::fs;
use std::process::{Command, Stdio};

use crate::program::{Script, counter, host};
use crate::workshop::good;

#[test]
fn builds_of_one_second_older_ones_and_equal_ones_are_all_noticed() {
    let mut script = Script::new(&counter(100)).update(1);
    for base in 2..8 {
        script = script.put(&counter(base * 100)).update(1);
    }
    let script = script.put(&counter(100)).update(1).and("touch").update(1);
    // All files of the script are made before it runs, so that later builds may well be older.
    let lines = script.updates(&host(""));
    let values: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(values, ["101", "202", "303", "404", "505", "606", "707", "108", "109"]);
    assert!(lines.last().unwrap().ends_with(" 9 0"));
}

#[test]
fn a_build_that_is_written_in_place_is_noticed_too() {
    let script = Script::new(&counter(100)).update(1);
    reloader_tests::write(&script.directory().join("next"), &counter(200).bytes());
    let script = script.and("write:next").and("until:2").update(1).and("close");
    let lines = script.run(&host(""));
    assert!(lines.contains(&"until 2 0".to_owned()), "{lines:?}");
}

#[test]
fn copies_lie_where_the_host_says_and_go_with_the_plugin() {
    for slash in ["", "/"] {
        let script = Script::empty();
        let place = script.directory().join("mine");
        fs::create_dir(&place).unwrap();
        reloader_tests::write(&script.library(), &counter(100).bytes());
        let script = script.and("open").and(&format!("temporary:{}{slash}", place.display()));
        let script = script.update(1).put(&counter(200)).update(1).and("close");
        assert_eq!(script.updates(&host("")), ["101 1 0", "202 2 0"]);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        assert_eq!(fs::read_dir(script.temporary()).unwrap().count(), 0);
        let names: Vec<_> = fs::read_dir(script.directory()).unwrap().flatten().collect();
        assert_eq!(names.len(), 3, "the guest and two directories: {names:?}");
    }
}

#[test]
fn a_temporary_path_that_is_missing_is_no_reason_to_fail() {
    let script = Script::empty();
    reloader_tests::write(&script.library(), &counter(100).bytes());
    let script = script.and("open").and("temporary:/nowhere/at/all").update(1).and("close");
    assert_eq!(script.updates(&host("")), ["101 1 0"]);
}

#[test]
fn odd_paths_are_paths() {
    for name in
        ["with space/libguest.so", "büild/libguest.so.1.2", "back\\slash/guest", "a/../libplug1.so"]
    {
        let script = Script::empty();
        let path = script.directory().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir_all(script.directory().join("a")).unwrap();
        reloader_tests::write(&path, &counter(100).bytes());
        let script = script.and(&format!("open:{name}")).update(2).and("close");
        assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 0"], "{name}");
    }
    // A name without a directory is a file here, and nothing of the loader's search path.
    let script = Script::empty();
    reloader_tests::write(&script.library(), &counter(100).bytes());
    assert_eq!(script.and("open:libguest.so").update(1).updates(&host("")), ["101 1 0"]);
}

#[test]
fn a_link_that_is_switched_to_a_build_of_the_same_time_is_noticed() {
    let script = Script::empty();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for (name, base) in [("one.so", 100), ("two.so", 200)] {
        let path = script.directory().join(name);
        reloader_tests::write(&path, &counter(base).bytes());
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    std::os::unix::fs::symlink("one.so", script.library()).unwrap();
    std::os::unix::fs::symlink("two.so", script.directory().join("next")).unwrap();
    let script = script.and("open").update(1).and("rename:next=libguest.so").update(1).and("close");
    assert_eq!(script.updates(&host("")), ["101 1 0", "202 2 0"]);
}

#[test]
fn plugins_with_names_like_versions_do_not_meet() {
    let script = Script::empty();
    for name in ["libplug.so", "libplug1.so"] {
        reloader_tests::write(&script.directory().join(name), &counter(100).bytes());
    }
    let script = script.and("open:./libplug.so").update(2).and("close");
    let script = script.and("open:./libplug1.so").update(1).and("close");
    assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 0", "101 1 0"]);
}

#[test]
fn a_file_that_is_missing_is_not_opened() {
    assert_eq!(
        Script::empty().and("open").and("update").run(&host("")),
        ["open 0", "update -2 0 0"]
    );
}

#[test]
fn two_processes_with_one_plugin_do_not_meet() {
    let script = Script::new(&counter(100)).update(1);
    // The other host has the same file open, and waits for what is built next.
    let mut other = Command::new(host("").path())
        .current_dir(script.directory())
        .args(["open", "update", "until:2", "close"])
        .env("TMPDIR", script.temporary())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let script = (2..6).fold(script, |script, n| script.put(&counter(n * 100)).update(50));
    let script = script.and("close");
    good(&script.output(&host("")), "the first");
    let next = script.directory().join("next");
    while other.try_wait().unwrap().is_none() {
        reloader_tests::write(&next, &counter(900).bytes());
        fs::rename(&next, script.library()).unwrap();
    }
    good(&other.wait_with_output().unwrap(), "the other");
}
