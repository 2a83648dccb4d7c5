//! What is noticed, and what lies around afterwards.

use std::fs;
use std::process::{Command, Stdio};

use crate::program::{Script, counter, host};
use crate::workshop::good;

#[test]
fn builds_of_one_second_older_ones_and_equal_ones_are_all_noticed() {
    let mut script = Script::new(&counter(100)).update(1);
    for base in 2..14 {
        script = script.put(&counter(base * 100)).update(1);
    }
    let script = script.put(&counter(100)).update(1).and("touch").update(1);
    // All files of the script are made before it runs, so that later builds may well be older.
    let lines = script.updates(&host(""));
    let values: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let mut wanted: Vec<_> = (1..14).map(|n| (n * 101).to_string()).collect();
    wanted.extend(["114".to_owned(), "115".to_owned()]);
    assert_eq!(values, wanted);
    assert!(lines.last().unwrap().ends_with(" 15 0"));
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
        let script = script.update(1).put(&counter(200)).update(1).and("internals").and("close");
        let told = format!("internals ./libguest.so [{}{slash}]", place.display());
        let wanted = ["open 1", "update 101 1 0", "update 202 2 0", &told, "close 1 0"];
        assert_eq!(script.run(&host("")), wanted);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        assert_eq!(fs::read_dir(script.temporary()).unwrap().count(), 0);
        let names: Vec<_> = fs::read_dir(script.directory()).unwrap().flatten().collect();
        assert_eq!(names.len(), 3, "the guest and two directories: {names:?}");
    }
}

#[test]
fn a_temporary_path_that_is_missing_or_read_only_is_no_reason_to_fail() {
    // Not even root can make a directory in the last one.
    for place in ["/nowhere/at/all", "/proc/self"] {
        let script = Script::empty();
        reloader_tests::write(&script.library(), &counter(100).bytes());
        let script = script.and("open").and(&format!("temporary:{place}")).update(1);
        let script = script.put(&counter(200)).update(1).and("close");
        assert_eq!(script.updates(&host("")), ["101 1 0", "202 2 0"], "{place}");
    }
}

#[test]
fn what_cr_left_behind_is_neither_used_nor_touched() {
    let script = Script::empty();
    let place = script.directory().join("mine");
    fs::create_dir(&place).unwrap();
    // Where cr would put its copies, and longer than they are.
    let old = [place.join("libguest1.so"), script.directory().join("libguest1.so")];
    let content = [counter(100).bytes(), vec![b'x'; 100_000]].concat();
    old.iter().for_each(|old| reloader_tests::write(old, &content));
    reloader_tests::write(&script.library(), &counter(200).bytes());
    let script = script.and("open").and(&format!("temporary:{}", place.display())).update(1);
    let script = script.put(&counter(300)).update(1).and("close");
    assert_eq!(script.updates(&host("")), ["201 1 0", "302 2 0"]);
    assert!(old.iter().all(|old| fs::read(old).unwrap() == content));
}

#[test]
fn odd_paths_are_paths() {
    let long = format!("{}libguest.so", format!("{}/", "x".repeat(199)).repeat(15));
    for name in [
        "with space/libguest.so",
        "büild/libguest.so.1.2",
        "back\\slash/guest",
        "a/../libplug1.so",
        long.as_str(),
    ] {
        let script = Script::empty();
        let path = script.directory().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir_all(script.directory().join("a")).unwrap();
        reloader_tests::write(&path, &counter(100).bytes());
        reloader_tests::write(&script.directory().join("next"), &counter(200).bytes());
        let script = script.and(&format!("open:{name}")).update(2);
        let script = script.and(&format!("rename:next={name}")).update(1).and("close");
        assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 0", "203 2 0"], "{name}");
    }
    let script = Script::empty();
    fs::create_dir(script.directory().join("real")).unwrap();
    std::os::unix::fs::symlink("real", script.directory().join("link")).unwrap();
    reloader_tests::write(&script.directory().join("real/guest.so"), &counter(100).bytes());
    reloader_tests::write(&script.directory().join("next"), &counter(200).bytes());
    let script = script.and("open:link/guest.so").update(1).and("rename:next=real/guest.so");
    assert_eq!(script.update(1).updates(&host("")), ["101 1 0", "202 2 0"], "a link on the way");
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

/// Where a program that the shell starts may mount what it likes.
fn with_mounts() -> Option<Command> {
    for options in ["-rm", "-m"] {
        let mut trial = Command::new("unshare");
        trial.args([options, "sh", "-c", "mount -t tmpfs none /tmp"]).stderr(Stdio::null());
        if trial.status().is_ok_and(|status| status.success()) {
            let mut command = Command::new("unshare");
            command.args([options, "sh", "-c"]);
            return Some(command);
        }
    }
    reloader_tests::missing("nothing can be mounted here, for a directory that is full or noexec");
    None
}

#[test]
fn where_the_system_has_no_place_for_copies_they_are_made_beside_the_plugin() {
    // The host of a daemon may have any of these for TMPDIR.
    for place in ["/nowhere/at/all", "/proc/self/status"] {
        let script = Script::new(&counter(100)).update(2).put(&counter(200)).update(1);
        let script = script.and("close").and("open").update(1).and("close");
        let mut command = script.command(&host("").path());
        let output = command.env("TMPDIR", place).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said.lines().filter_map(|it| it.strip_prefix("update ")).collect();
        assert_eq!(lines, ["101 1 0", "102 1 0", "203 2 0", "201 1 0"], "{place}: {said}");
        assert_eq!(left_beside(&script), 0, "{place}");
    }
    for (mount, full) in [("size=1m,noexec", false), ("size=4m", true)] {
        let Some(mut command) = with_mounts() else { return };
        let script = Script::new(&counter(100)).update(2).put(&counter(200)).update(1);
        let script = script.and("close");
        let place = script.temporary();
        let fill = if full { "head -c 8m /dev/zero > \"$TMPDIR/much\" 2>/dev/null;" } else { "" };
        command.arg(format!(
            "mount -t tmpfs -o {mount} none \"$TMPDIR\" && {{ {fill} exec \"$@\"; }}"
        ));
        let run = script.command(&host("").flag("-DCR_LOG=printf").path());
        command.arg("sh").arg(run.get_program()).args(run.get_args());
        let output = command.current_dir(script.directory()).env("TMPDIR", place).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said.lines().filter_map(|it| it.strip_prefix("update ")).collect();
        assert_eq!(lines, ["101 1 0", "102 1 0", "203 2 0"], "{mount}: {output:?}");
        let why = if full { "No space left" } else { "noexec" };
        let told = said.lines().find(|line| line.contains("copies are made in"));
        assert!(told.is_some_and(|line| line.contains(why)), "{mount}: {said}");
        assert_eq!(left_beside(&script), 0, "{mount}");
    }
}

/// How many directories with copies lie beside the plugin.
fn left_beside(script: &Script) -> usize {
    let entries = fs::read_dir(script.directory()).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("reloader-")).count()
}

#[test]
fn a_temporary_path_that_was_named_is_used_or_nothing_is() {
    let Some(mut command) = with_mounts() else { return };
    let script = Script::new(&counter(100));
    let place = script.directory().join("named");
    fs::create_dir(&place).unwrap();
    let script = script.and(&format!("temporary:{}", place.display())).update(2).and("close");
    command.arg("mount -t tmpfs -o noexec none named && exec \"$@\"");
    let run = script.command(&host("").path());
    command.arg("sh").arg(run.get_program()).args(run.get_args());
    let output = command.current_dir(script.directory()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().filter_map(|it| it.strip_prefix("update ")).collect();
    assert_eq!(lines, ["-2 0 8", "-2 0 9"], "{said}");
    assert_eq!(left_beside(&script), 0);
}
