//! A new build is noticed, whichever way it comes, and a step without news asks the system for
//! nothing.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use reloader::{Plugin, Step, Watch};
use reloader_tests::{Bench, Build, alone, pass, step_until, tool};

const WATCHES: [Watch; 2] = [Watch::Notify, Watch::Poll(Duration::ZERO)];

fn open(bench: &Bench, path: &Path, watch: Watch) -> Plugin {
    let plugin = Plugin::builder(path).temp_dir(bench.temporary()).watch(watch).open();
    plugin.unwrap()
}

/// Steps until this build runs.
fn runs(plugin: &mut Plugin, build: i32) {
    step_until(plugin, |step| step == Step::Ran(build));
}

fn set_mtime(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn a_build_that_is_renamed_into_place_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = open(&bench, &bench.library(), watch);
        for build in 1..6 {
            bench.put(&Build::ledger(build));
            runs(&mut plugin, build);
        }
    }
}

#[test]
fn a_build_that_is_written_in_place_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        for build in 2..6 {
            fs::write(bench.library(), Build::ledger(build).bytes()).unwrap();
            runs(&mut plugin, build);
        }
    }
}

#[test]
fn builds_of_the_same_second_and_of_the_same_time_are_told_apart() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        set_mtime(&bench.library(), time);
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        // Another nanosecond of the same second, then the very same nanosecond with a file of
        // another number.
        for (build, nanosecond) in [(2, 1), (3, 1), (4, 0)] {
            let other = bench.directory().join("other");
            fs::write(&other, Build::ledger(build).bytes()).unwrap();
            set_mtime(&other, time + Duration::from_nanos(nanosecond));
            fs::rename(&other, bench.library()).unwrap();
            runs(&mut plugin, build);
        }
    }
}

#[test]
fn an_older_build_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        let other = bench.directory().join("other");
        fs::write(&other, Build::ledger(2).bytes()).unwrap();
        set_mtime(&other, SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
        fs::rename(&other, bench.library()).unwrap();
        runs(&mut plugin, 2);
        // In place, with its old time put back as `cp -p` does.
        fs::write(bench.library(), Build::ledger(3).bytes()).unwrap();
        set_mtime(&bench.library(), SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
        runs(&mut plugin, 3);
    }
}

#[test]
fn a_touch_with_the_same_bytes_reloads() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        set_mtime(&bench.library(), SystemTime::now() + Duration::from_secs(1));
        let until = Instant::now() + Duration::from_secs(10);
        while plugin.version() != Some(2) {
            assert!(Instant::now() < until, "the touch was not noticed");
            assert_eq!(plugin.step(), Step::Ran(1));
        }
    }
}

#[test]
fn a_link_to_a_file_that_is_switched_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::new();
        let time = SystemTime::now();
        for build in 1..=3 {
            let real = bench.directory().join(format!("real/{build}.so"));
            fs::create_dir_all(real.parent().unwrap()).unwrap();
            fs::write(&real, Build::ledger(build).bytes()).unwrap();
            set_mtime(&real, time);
        }
        let link = |build: i32| {
            let new = bench.directory().join("new");
            symlink(format!("real/{build}.so"), &new).unwrap();
            fs::rename(new, bench.library()).unwrap();
        };
        link(1);
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        link(2);
        runs(&mut plugin, 2);
        link(3);
        runs(&mut plugin, 3);
        link(1);
        runs(&mut plugin, 1);
        // What the link leads to is rebuilt where it lies.
        fs::write(bench.directory().join("real/1.so"), Build::ledger(4).bytes()).unwrap();
        runs(&mut plugin, 4);
    }
}

#[test]
fn a_link_to_a_directory_that_is_switched_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::new();
        for build in 1..=3 {
            let release = bench.directory().join(format!("releases/{build}"));
            fs::create_dir_all(&release).unwrap();
            fs::write(release.join("libguest.so"), Build::ledger(build).bytes()).unwrap();
        }
        let link = |build: i32| {
            let new = bench.directory().join("new");
            symlink(format!("releases/{build}"), &new).unwrap();
            fs::rename(new, bench.directory().join("current")).unwrap();
        };
        link(1);
        let library = bench.directory().join("current/libguest.so");
        let mut plugin = open(&bench, &library, watch);
        runs(&mut plugin, 1);
        for build in [2, 3, 1] {
            link(build);
            runs(&mut plugin, build);
        }
        let real = bench.directory().join("releases/1/libguest.so");
        fs::write(real, Build::ledger(4).bytes()).unwrap();
        runs(&mut plugin, 4);
        // The link is gone for a while, and leads nowhere for a while.
        let current = bench.directory().join("current");
        fs::remove_file(&current).unwrap();
        runs(&mut plugin, 4);
        symlink("releases/9", &current).unwrap();
        runs(&mut plugin, 4);
        fs::create_dir(bench.directory().join("releases/9")).unwrap();
        fs::copy(Build::ledger(5).path(), bench.directory().join("releases/9/libguest.so"))
            .unwrap();
        runs(&mut plugin, 5);
    }
}

#[test]
fn a_file_that_is_removed_and_made_again_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        for build in 2..5 {
            fs::remove_file(bench.library()).unwrap();
            for _ in 0..100 {
                assert_eq!(plugin.step(), Step::Ran(build - 1));
            }
            fs::write(bench.library(), Build::ledger(build).bytes()).unwrap();
            runs(&mut plugin, build);
        }
    }
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_noticed() {
    for watch in WATCHES {
        // Once with steps while it is away, once without.
        for steps in [1000, 0] {
            let bench = Bench::new();
            let directory = bench.directory().join("build/out");
            let library = directory.join("libguest.so");
            fs::create_dir_all(&directory).unwrap();
            fs::copy(Build::ledger(1).path(), &library).unwrap();
            let mut plugin = open(&bench, &library, watch);
            runs(&mut plugin, 1);
            for build in 2..5 {
                fs::remove_dir_all(bench.directory().join("build")).unwrap();
                for _ in 0..steps {
                    assert_eq!(plugin.step(), Step::Ran(build - 1));
                }
                fs::create_dir_all(&directory).unwrap();
                fs::copy(Build::ledger(build).path(), &library).unwrap();
                runs(&mut plugin, build);
            }
            // And what comes after that is noticed in the new directory.
            fs::write(&library, Build::ledger(5).bytes()).unwrap();
            runs(&mut plugin, 5);
        }
    }
}

#[test]
fn a_directory_that_is_exchanged_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::new();
        for build in 1..=2 {
            let directory = bench.directory().join(format!("out{build}"));
            fs::create_dir(&directory).unwrap();
            fs::copy(Build::ledger(build).path(), directory.join("libguest.so")).unwrap();
        }
        let out = bench.directory().join("out");
        fs::rename(bench.directory().join("out1"), &out).unwrap();
        let mut plugin = open(&bench, &out.join("libguest.so"), watch);
        runs(&mut plugin, 1);
        fs::rename(&out, bench.directory().join("old")).unwrap();
        fs::rename(bench.directory().join("out2"), &out).unwrap();
        runs(&mut plugin, 2);
    }
}

#[test]
fn a_file_that_was_missing_from_the_start_is_noticed() {
    for watch in WATCHES {
        let bench = Bench::new();
        let library = bench.directory().join("not/yet/libguest.so");
        let mut plugin = Plugin::builder(&library)
            .temp_dir(bench.temporary())
            .watch(watch)
            .may_be_missing(true)
            .open()
            .unwrap();
        for _ in 0..100 {
            assert_eq!(plugin.step(), Step::Idle);
        }
        fs::create_dir_all(library.parent().unwrap()).unwrap();
        fs::copy(Build::ledger(1).path(), &library).unwrap();
        runs(&mut plugin, 1);
    }
}

#[test]
fn many_builds_in_a_row_end_with_the_last_one() {
    for watch in WATCHES {
        let bench = Bench::with(&Build::ledger(1));
        let mut plugin = open(&bench, &bench.library(), watch);
        runs(&mut plugin, 1);
        std::thread::scope(|scope| {
            let bench = &bench;
            scope.spawn(move || {
                for round in 0..60 {
                    bench.put(&Build::ledger(2 + round % 5));
                }
                bench.put(&Build::ledger(9));
            });
            runs(&mut plugin, 9);
        });
        assert_eq!(plugin.step(), Step::Ran(9));
    }
}

#[test]
fn nothing_is_noticed_by_hand_until_the_host_asks() {
    let bench = Bench::with(&Build::ledger(1));
    let mut plugin = open(&bench, &bench.library(), Watch::Manual);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    for _ in 0..1000 {
        assert_eq!(plugin.step(), Step::Ran(1));
    }
    plugin.check();
    assert_eq!(plugin.step(), Step::Ran(2));
    // Nothing new: asking again changes nothing.
    plugin.check();
    assert_eq!(plugin.step(), Step::Ran(2));
    assert_eq!(plugin.version(), Some(2));
}

#[test]
fn a_step_can_be_made_without_looking() {
    let bench = Bench::with(&Build::ledger(1));
    let mut plugin = open(&bench, &bench.library(), Watch::Poll(Duration::ZERO));
    // Nothing is loaded without a look.
    assert_eq!(plugin.step_without_check(), Step::Idle);
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step_without_check(), Step::Ran(1));
    assert_eq!(plugin.step(), Step::Ran(2));
}

#[test]
fn a_look_can_be_had_although_polling_is_not_due() {
    let bench = Bench::with(&Build::ledger(1));
    let mut plugin = open(&bench, &bench.library(), Watch::Poll(Duration::from_secs(86_400)));
    assert_eq!(plugin.step(), Step::Ran(1));
    bench.put(&Build::ledger(2));
    assert_eq!(plugin.step(), Step::Ran(1));
    plugin.check();
    assert_eq!(plugin.step(), Step::Ran(2));
}

#[test]
fn a_step_without_news_makes_no_system_call() {
    const STEPS: usize = 1000;
    let test = "notice::a_step_without_news_makes_no_system_call";
    let Some(command) = alone(test) else {
        for watch in [Watch::Notify, Watch::Manual, Watch::Poll(Duration::from_secs(86_400))] {
            let bench = Bench::with(&Build::ledger(1));
            let mut plugin = open(&bench, &bench.library(), watch);
            runs(&mut plugin, 1);
            // Reading the test's own directory comes with notifications; they are news.
            step_until(&mut plugin, |_| true);
            for _ in 0..STEPS {
                assert_eq!(plugin.step(), Step::Ran(1));
            }
            // Markers that nothing else would ask for.
            drop(fs::metadata("/marker/begin"));
            for _ in 0..STEPS {
                assert_eq!(plugin.step(), Step::Ran(1));
            }
            drop(fs::metadata("/marker/end"));
        }
        return;
    };
    let Some(strace) = tool("strace") else { return };
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut traced = std::process::Command::new(strace.0);
    // Each thread by itself: the notifications come on one of their own.
    traced.args(["-ff", "-o"]).arg(trace.path()).arg(command.get_program());
    traced.args(command.get_args());
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap());
    }
    pass(traced);
    let mut found = 0;
    for file in fs::read_dir(trace.path().parent().unwrap()).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        if !name.starts_with(&format!("{}.", trace.path().file_name().unwrap().to_str().unwrap())) {
            continue;
        }
        let text = fs::read_to_string(file.path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let at = |marker: &str| -> Vec<usize> {
            let marked = |(number, line): (usize, &&str)| line.contains(marker).then_some(number);
            lines.iter().enumerate().filter_map(marked).collect()
        };
        for (begin, end) in at("/marker/begin").into_iter().zip(at("/marker/end")) {
            let between: Vec<_> =
                lines[begin + 1..end].iter().filter(|line| !line.contains("SIG")).collect();
            assert!(between.is_empty(), "{between:#?}");
            found += 1;
        }
        fs::remove_file(file.path()).unwrap();
    }
    assert_eq!(found, 3);
}
