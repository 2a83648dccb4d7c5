//! The cache: what is stored comes back, and whatever is not what was stored does not.

use std::fs;
use std::path::PathBuf;

use build_info::around::Surroundings;
use build_info::{
    BuildInfo, Cache, CacheKey, Checksum, Claim, Command, Contribution, Fact, File, FileId,
    FileUse, Flag, Format, Found, Group, Identity, Kind, Linker, Provenance, Questions, Stamp,
    System, Unit, UnitId, Version,
};
use proptest::prelude::*;

const NO_FILES: Questions = Questions { commands: true, files: false, contributions: true };
const UNITS: Questions = Questions { commands: false, files: false, contributions: false };

fn key() -> CacheKey {
    CacheKey::new(&Identity::Pdb { guid: [9; 16], age: 3 })
}

/// Units with all that a unit can have.
fn units(count: u32, files: u32) -> BuildInfo {
    let mut info = BuildInfo::new(Format::Pdb);
    info.identity = Some(Identity::Pdb { guid: [9; 16], age: 3 });
    info.checksums = vec![Checksum::Md5([1; 16]), Checksum::Sha256([2; 32])];
    info.groups.push(Group {
        name: ".text$mn".into(),
        address: 0x1000,
        size: 5,
        characteristics: 1,
        section: 1,
    });
    info.linker = Some(Linker { producer: Some("link".into()), ..Linker::default() });
    info.remarks.push("something is missing".into());
    for number in 0..files {
        info.files.push(File {
            path: format!("C:\\src\\{number}.h"),
            spellings: vec![format!("c:\\SRC\\{number}.h")],
            found: [Found::Unknown, Found::Missing, Found::At("/x".into())][number as usize % 3]
                .clone(),
            units: Vec::new(),
        });
    }
    for number in 0..count {
        let id = UnitId(number);
        let mut unit = Unit {
            module: format!("{number}.obj"),
            source: Some(Fact::recorded(format!("{number}.cpp"))),
            command: Some(Fact::recorded(Command::Arguments(vec!["cl".into(), "/c".into()]))),
            definitions: vec!["-DX=1".into()],
            kind: Kind::Source,
            front_end: Some(Version([19, 44, 0, 1])),
            flags: vec![Flag::Hotpatch, Flag::Sdl],
            size: u64::from(number) << 33,
            ..Unit::default()
        };
        for step in 0..files.min(20) {
            let file = (number * 7 + step) % files;
            if info.files[file as usize].units.last() == Some(&id) {
                continue;
            }
            info.files[file as usize].units.push(id);
            unit.files.push(FileUse {
                file: FileId(file),
                checksum: (step % 2 == 0).then_some(step % 2),
                provenance: [Provenance::Recorded, Provenance::LineTable][step as usize % 2],
            });
        }
        info.contributions.push(Contribution {
            address: u64::from(number) * 16,
            size: 16,
            unit: id,
            characteristics: 0x6000_0020,
            section: 1,
            claim: Claim::Sole,
        });
        info.units.push(unit);
    }
    info
}

fn without(mut info: BuildInfo, questions: Questions) -> BuildInfo {
    for unit in &mut info.units {
        if !questions.commands {
            unit.command = None;
            unit.definitions.clear();
        }
        if !questions.files {
            unit.files.clear();
        }
    }
    for file in &mut info.files {
        if !questions.files {
            file.units.clear();
        }
    }
    if !questions.contributions {
        info.contributions.clear();
    }
    info
}

/// The one file of a cache.
fn entry(directory: &tempfile::TempDir) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(directory).unwrap().flatten().collect();
    assert_eq!(entries.len(), 1);
    entries[0].path()
}

#[test]
fn what_is_stored_comes_back_as_far_as_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path().join("made/when/needed"));
    let info = units(50, 30);
    assert_eq!(cache.load(&key(), &UNITS), None);
    cache.store(&key(), &info, &Questions::ALL, &[]).unwrap();
    for questions in [Questions::ALL, Questions::FILES, NO_FILES, UNITS] {
        assert_eq!(cache.load(&key(), &questions), Some(without(info.clone(), questions)));
    }
    assert_eq!(cache.load(&key().with("--map a=b"), &UNITS), None);
    assert_eq!(cache.load(&CacheKey::new(&Identity::Uuid([9; 16])), &UNITS), None);
}

#[test]
fn what_is_loaded_for_a_question_answers_it_as_the_whole_does() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    let mut info = units(300, 40);
    for at in (0..300).step_by(3) {
        let first = info.contributions[at];
        info.contributions[at].claim = Claim::First;
        for next in [1, 2] {
            let loser = Contribution { claim: Claim::Loser, unit: UnitId(next), ..first };
            info.contributions.insert(at + next as usize, loser);
        }
    }
    cache.store(&key(), &info, &Questions::ALL, &[]).unwrap();
    let paths = [r"C:\src\7.h", "8.H", "none", r"src\9.h"];
    let loaded = cache.load_for_paths(&key(), &paths, true).unwrap();
    assert_eq!(loaded.affected(&paths), info.affected(&paths));
    assert!(!loaded.affected(&paths).units.is_empty());
    assert_eq!(loaded.units[5].command, info.units[5].command);
    let addresses: Vec<u64> = (0..5000).step_by(7).chain([u64::MAX]).collect();
    for some in addresses.chunks(100) {
        let loaded = cache.load_for_addresses(&key(), some).unwrap();
        for address in some {
            assert_eq!(loaded.owners(*address), info.owners(*address), "{address:#x}");
        }
    }
    assert_eq!(cache.load_for_addresses(&key(), &[]).unwrap().contributions, []);
}

#[test]
fn what_was_not_asked_is_not_answered() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    cache.store(&key(), &units(3, 3), &Questions::FILES, &[]).unwrap();
    assert!(cache.load(&key(), &Questions::FILES).is_some());
    assert!(cache.load(&key(), &UNITS).is_some());
    assert_eq!(cache.load(&key(), &Questions::ALL), None);
}

#[test]
fn circumstances_are_told_apart() {
    let keys = [
        key(),
        key().with(""),
        key().with("a").with("b"),
        key().with("ab"),
        key().with("b").with("a"),
        CacheKey::new(&Identity::Pdb { guid: [9; 16], age: 4 }),
        CacheKey::new(&Identity::BuildId(vec![0; 2000])),
        CacheKey::new(&Identity::BuildId(vec![0; 2001])),
    ];
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(cache.load(key, &UNITS), None);
        cache.store(key, &units(number as u32, 1), &Questions::ALL, &[]).unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(cache.load(key, &UNITS).unwrap().units.len(), number);
    }
}

#[test]
fn a_change_of_any_byte_and_any_cut_makes_it_as_good_as_none_until_it_is_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    let info = units(4, 3);
    cache.store(&key(), &info, &Questions::ALL, &[]).unwrap();
    let path = entry(&directory);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(cache.load(&key(), &Questions::ALL), None, "{at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(cache.load(&key(), &Questions::ALL), None, "{at}");
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert_eq!(cache.load(&key(), &UNITS), None);
    cache.store(&key(), &info, &Questions::ALL, &[]).unwrap();
    assert_eq!(cache.load(&key(), &Questions::ALL), Some(info));
    assert_eq!(fs::read(entry(&directory)).unwrap(), whole);
}

#[test]
fn an_entry_under_anothers_name_is_not_that_ones() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    cache.store(&key(), &units(2, 2), &Questions::ALL, &[]).unwrap();
    let path = entry(&directory);
    cache.store(&key().with("x"), &units(3, 2), &Questions::ALL, &[]).unwrap();
    let mut other = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.path());
    let other = other.find(|other| *other != path).unwrap();
    fs::copy(&other, &path).unwrap();
    assert_eq!(cache.load(&key(), &UNITS), None);
}

#[test]
fn it_counts_as_long_as_its_witnesses_are_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path().join("cache"));
    let commands = directory.path().join("compile_commands.json");
    fs::write(&commands, "[]").unwrap();
    let around = Surroundings::find(directory.path().to_str().unwrap(), &System);
    // The one that is there, and the manifest that may come.
    assert_eq!(around.witnesses.len(), 2);
    let store = || {
        let around = Surroundings::find(directory.path().to_str().unwrap(), &System);
        cache.store(&key(), &units(1, 1), &Questions::ALL, &around.witnesses).unwrap();
    };
    store();
    assert!(cache.load(&key(), &UNITS).is_some());
    fs::write(&commands, "[ ]").unwrap();
    assert_eq!(cache.load(&key(), &UNITS), None);
    store();
    assert!(cache.load(&key(), &UNITS).is_some());
    fs::remove_file(&commands).unwrap();
    assert_eq!(cache.load(&key(), &UNITS), None);
    // What was not there is a witness too.
    let gone = (commands.to_str().unwrap().to_owned(), Stamp { modified: 0, length: 0 });
    cache.store(&key(), &units(1, 1), &Questions::ALL, &[gone]).unwrap();
    assert!(cache.load(&key(), &UNITS).is_some());
    fs::write(&commands, "[]").unwrap();
    assert_eq!(cache.load(&key(), &UNITS), None);
}

#[test]
fn the_oldest_go_first_when_there_is_too_much() {
    let directory = tempfile::tempdir().unwrap();
    let all = Cache::at(directory.path());
    let info = units(20, 5);
    let mut length = 0;
    let keys: Vec<CacheKey> = (0..4_u8).map(|number| key().with([number])).collect();
    let start = std::time::SystemTime::UNIX_EPOCH;
    for (number, key) in keys.iter().enumerate() {
        let before: Vec<_> =
            fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.path()).collect();
        all.store(key, &info, &Questions::ALL, &[]).unwrap();
        let mut entries = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.path());
        let new = entries.find(|path| !before.contains(path)).unwrap();
        length = fs::metadata(&new).unwrap().len();
        let time = start + std::time::Duration::from_secs(1000 - number as u64);
        fs::File::options().write(true).open(new).unwrap().set_modified(time).unwrap();
    }
    fs::write(directory.path().join("another's"), vec![0; 100_000]).unwrap();
    let last = key().with("last");
    Cache::at(directory.path())
        .limited(length * 3)
        .store(&last, &info, &Questions::ALL, &[])
        .unwrap();
    let left: Vec<bool> = keys.iter().map(|key| all.load(key, &UNITS).is_some()).collect();
    // Those that were stored first have the later times here.
    assert_eq!(left, [true, true, false, false]);
    assert!(all.load(&last, &UNITS).is_some());
    assert!(directory.path().join("another's").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_number_of_units_and_files_comes_back(count in 0..40_u32, files in 1..40_u32) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path());
        let info = units(count, files);
        cache.store(&key(), &info, &Questions::ALL, &[]).unwrap();
        prop_assert_eq!(cache.load(&key(), &Questions::ALL), Some(info));
    }

    #[test]
    fn no_file_of_that_name_does_harm(bytes: Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path());
        cache.store(&key(), &units(1, 1), &Questions::ALL, &[]).unwrap();
        fs::write(entry(&directory), bytes).unwrap();
        prop_assert_eq!(cache.load(&key(), &UNITS), None);
    }
}

#[test]
fn of_the_commands_those_come_back_that_are_affected() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    let mut info = units(40, 90);
    for (number, unit) in info.units.iter_mut().enumerate() {
        // Of many lengths, and some of none.
        let words = (0..number % 7).map(|word| "x".repeat(word * number)).collect();
        unit.command = (number % 5 != 0).then(|| Fact::recorded(Command::Arguments(words)));
        unit.definitions = vec![format!("-DN={number}"); number % 3];
    }
    cache.store(&key(), &info, &Questions::ALL, &[]).unwrap();
    let path = info.files[21].path.as_str();
    let affected = info.affected(&[path]).units;
    assert!(affected.len() > 1 && affected.len() < 40, "{affected:?}");
    for commands in [true, false] {
        let some = cache.load_for_paths(&key(), &[path], commands).unwrap();
        assert_eq!(some.affected(&[path]).units, affected);
        for (id, (some, whole)) in (0..).map(UnitId).zip(some.units.iter().zip(&info.units)) {
            let wanted = commands && affected.contains(&id);
            let command = whole.command.as_ref().filter(|_| wanted);
            assert_eq!(some.command.as_ref(), command, "{id:?}");
            assert_eq!(some.definitions.len(), if wanted { whole.definitions.len() } else { 0 });
        }
    }
    // One that is damaged is as good as none, but only where it is wanted.
    let entry = entry(&directory);
    let whole = fs::read(&entry).unwrap();
    let text = format!("-DN={}", affected.iter().map(|id| id.0).find(|id| id % 3 != 0).unwrap());
    let at = whole.windows(text.len()).position(|bytes| bytes == text.as_bytes()).unwrap();
    let mut damaged = whole;
    damaged[at] ^= 1;
    fs::write(&entry, damaged).unwrap();
    assert_eq!(cache.load_for_paths(&key(), &[path], true), None);
    assert!(cache.load_for_paths(&key(), &[path], false).is_some());
}
