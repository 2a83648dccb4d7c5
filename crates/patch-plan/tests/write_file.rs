//! Files that are written: replaced whole, or not at all and without a trace.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use patch_plan::{Durability, Error, FileError, Plan, Times, WriteOptions};
use tempfile::TempDir;

fn plan() -> Plan {
    let mut plan = Plan::new();
    plan.edit(2, *b"23", *b"ab").unwrap().append(10, b"!").unwrap();
    plan
}

fn options() -> WriteOptions {
    WriteOptions { durability: Durability::Cached, ..WriteOptions::default() }
}

/// Every name in a directory, so that nothing can be left over unseen.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_target_appears_beside_an_untouched_source() {
    let directory = TempDir::new().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    fs::write(&source, b"0123456789").unwrap();
    let written = plan().write_file(&source, &target, &WriteOptions::default()).unwrap();
    assert_eq!(written.path, target);
    assert_eq!(written.length, 11);
    assert_eq!(fs::read(&target).unwrap(), b"01ab456789!");
    assert_eq!(fs::read(&source).unwrap(), b"0123456789");
    assert_eq!(names(directory.path()), ["source", "target"]);
}

#[test]
fn a_file_is_replaced_by_itself_and_back() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("image");
    fs::write(&path, b"0123456789").unwrap();
    // Whoever has the file open keeps what it opened.
    let open = fs::File::open(&path).unwrap();
    plan().write_file(&path, &path, &options()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"01ab456789!");
    assert_eq!(std::io::read_to_string(open).unwrap(), "0123456789");
    plan().invert().write_file(&path, &path, &options()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    assert_eq!(names(directory.path()), ["image"]);
}

#[test]
fn a_plan_that_does_not_fit_leaves_the_target_and_no_temporary_file() {
    let directory = TempDir::new().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    fs::write(&source, b"01xx456789").unwrap();
    fs::write(&target, b"before").unwrap();
    let refused = plan().write_file(&source, &target, &options()).unwrap_err();
    let FileError::Plan { path, source: reason } = refused else { panic!("{refused}") };
    assert_eq!(path, source);
    assert!(matches!(reason, Error::Mismatch { offset: 2, .. }));
    assert_eq!(fs::read(&target).unwrap(), b"before");
    assert_eq!(names(directory.path()), ["source", "target"]);
}

#[test]
fn a_source_that_is_missing_or_no_file_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    let refused = plan().write_file(&source, &target, &options()).unwrap_err();
    assert!(refused.to_string().starts_with(&format!("{}: open: ", source.display())));
    let refused = plan().write_file(directory.path(), &target, &options()).unwrap_err();
    assert!(matches!(refused, FileError::Io { .. }));
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_directory_that_is_missing_is_refused() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    fs::write(&source, b"0123456789").unwrap();
    let target = directory.path().join("missing/target");
    assert!(plan().write_file(&source, &target, &options()).is_err());
    assert_eq!(names(directory.path()), ["source"]);
}

/// The rename is the last step, and can fail: nothing can be renamed over a directory.
#[test]
fn a_target_that_is_a_directory_is_refused_and_leaves_no_temporary_file() {
    let directory = TempDir::new().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    fs::write(&source, b"0123456789").unwrap();
    fs::create_dir(&target).unwrap();
    let refused = plan().write_file(&source, &target, &options()).unwrap_err();
    assert!(refused.to_string().contains(": replace: not a regular file"), "{refused}");
    assert_eq!(names(directory.path()), ["source", "target"]);
    assert!(target.is_dir());
}

#[test]
fn times_are_kept_if_wanted_and_new_if_not() {
    let directory = TempDir::new().unwrap();
    let (source, target) = (directory.path().join("source"), directory.path().join("target"));
    fs::write(&source, b"0123456789").unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_700);
    fs::File::options().write(true).open(&source).unwrap().set_modified(old).unwrap();
    let keep = WriteOptions { times: Times::Keep, ..options() };
    plan().write_file(&source, &target, &keep).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), old);
    plan().write_file(&source, &target, &options()).unwrap();
    assert!(fs::metadata(&target).unwrap().modified().unwrap() > old);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_mode_is_the_sources() {
        let directory = TempDir::new().unwrap();
        let (source, target) = (directory.path().join("source"), directory.path().join("target"));
        fs::write(&source, b"0123456789").unwrap();
        for mode in [0o755, 0o640, 0o400] {
            fs::set_permissions(&source, fs::Permissions::from_mode(mode)).unwrap();
            plan().write_file(&source, &target, &options()).unwrap();
            assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn a_file_of_another_owner_does_not_act_for_this_one() {
        let directory = TempDir::new().unwrap();
        let (source, target) = (directory.path().join("source"), directory.path().join("target"));
        fs::write(&source, b"0123456789").unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o6755)).unwrap();
        plan().write_file(&source, &target, &options()).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o6755);
        // Only root can give a file away.
        if std::os::unix::fs::chown(&source, Some(65534), None).is_err() {
            println!("skipped: this user cannot change a file's owner");
            return;
        }
        fs::set_permissions(&source, fs::Permissions::from_mode(0o6755)).unwrap();
        plan().write_file(&source, &target, &options()).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_link_stays_and_leads_to_the_new_file() {
        let directory = TempDir::new().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, b"0123456789").unwrap();
        symlink("real", &link).unwrap();
        let written = plan().write_file(&link, &link, &options()).unwrap();
        assert_eq!(written.path, fs::canonicalize(&real).unwrap());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"01ab456789!");
    }

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("source"), b"0123456789").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        for name in ["socket", "dangling", "directory"] {
            let before = fs::symlink_metadata(path(name)).unwrap();
            let error = plan().write_file(&path("source"), &path(name), &options()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            let after = fs::symlink_metadata(path(name)).unwrap();
            assert_eq!((after.ino(), after.file_type()), (before.ino(), before.file_type()));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_pipe_is_no_source_and_nobody_waits_for_it() {
        let directory = TempDir::new().unwrap();
        let (pipe, target) = (directory.path().join("pipe"), directory.path().join("target"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (answer, answered) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            answer.send(plan().write_file(&pipe, &target, &options())).unwrap();
        });
        let error = answered.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
        assert!(error.to_string().ends_with("pipe: open: not a regular file"), "{error}");
        writer.join().unwrap();
        assert_eq!(names(directory.path()), ["pipe"]);
    }

    #[test]
    fn a_directory_that_may_not_be_written_is_left_as_it_was() {
        let directory = TempDir::new().unwrap();
        let (source, target) = (directory.path().join("source"), directory.path().join("target"));
        fs::write(&source, b"0123456789").unwrap();
        fs::write(&target, b"before").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
        // Root may write everywhere.
        let may_write = fs::write(directory.path().join("probe"), b"").is_ok();
        let result = plan().write_file(&source, &target, &options());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if may_write {
            assert_eq!(result.unwrap().length, 11);
            return;
        }
        let refused = result.unwrap_err();
        assert!(refused.to_string().contains("create temporary file"), "{refused}");
        assert_eq!(fs::read(&target).unwrap(), b"before");
        assert_eq!(names(directory.path()), ["source", "target"]);
    }

    /// A disk that is full, by the one device that always is.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_write_that_fails_names_the_call() {
        let full = fs::File::options().read(true).write(true).open("/dev/full").unwrap();
        let mut plan = Plan::new();
        plan.append(0, b"x").unwrap();
        let refused = plan.apply_to_file(&full, Path::new("/dev/full")).unwrap_err();
        assert!(matches!(refused, FileError::Io { .. }), "{refused}");
        assert!(refused.to_string().starts_with("/dev/full: "), "{refused}");
    }
}
