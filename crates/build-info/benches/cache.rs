//! What the second question on a binary costs when the first is in the cache, as a whole process;
//! beside the same answer kept in one piece by postcard and as JSON.
//!
//! `cargo bench -p build-info --bench cache`

use std::hint::black_box;
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use build_info::{
    BuildInfo, Cache, CacheKey, Checksum, Claim, Command, Contribution, Fact, File, FileId,
    FileUse, Format, Found, Identity, Provenance, Questions, Quoting, Unit, UnitId,
};
use criterion::Criterion;

const HEADER: &str = "src/7/header150.h";
/// What a child is to do, and where.
const CHILD: &str = "CACHE_BENCH_CHILD";

fn main() {
    if let Ok(task) = std::env::var(CHILD) {
        let (name, path) = task.split_once(' ').unwrap();
        return child(name, Path::new(path));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    for (name, units, files) in [("1,000 units", 1_000, 150), ("4,000 units", 4_000, 300)] {
        let info = build(units, files);
        let place = directory.path().join(name);
        store(&info, &place);
        let mut group = criterion.benchmark_group(format!("load, {name}"));
        for question in QUESTIONS {
            group.bench_function(question, |bencher| bencher.iter(|| answer(question, &place)));
        }
        group.finish();
        processes(name, &place);
    }
    criterion.final_summary();
}

const QUESTIONS: [&str; 6] = ["units", "affected", "owner", "commands", "files", "contributions"];

/// Whole processes in turns: the median of each one's processor time, which does not depend on
/// what else the machine does, and how many times that of `affected` it is.
fn processes(name: &str, place: &Path) {
    println!("whole process, {name}: processor time, median of 15");
    let mut tasks = vec!["nothing"];
    tasks.extend(QUESTIONS);
    tasks.extend(["postcard-affected", "json-affected"]);
    let mut times = vec![Vec::new(); tasks.len()];
    for _ in 0..15 {
        for (task, times) in tasks.iter().zip(&mut times) {
            let mut process = Process::new(std::env::current_exe().unwrap());
            let output =
                process.env(CHILD, format!("{task} {}", place.display())).output().unwrap();
            assert!(output.status.success());
            let spent: f64 = String::from_utf8(output.stdout).unwrap().parse().unwrap();
            times.push(spent);
        }
    }
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect();
    for (task, median) in tasks.iter().zip(&medians) {
        println!("  {task:18} {median:8.2} ms  {:6.2} x affected", median / medians[2]);
    }
}

fn child(task: &str, place: &Path) {
    let whole = |bytes: Vec<u8>, json| -> BuildInfo {
        if json {
            serde_json::from_slice(&bytes).unwrap()
        } else {
            postcard::from_bytes(&bytes).unwrap()
        }
    };
    let asked = |info: BuildInfo| assert!(!info.affected(&[HEADER]).units.is_empty());
    match task {
        "nothing" => {}
        "postcard-affected" => {
            asked(whole(std::fs::read(place.join("whole.postcard")).unwrap(), false));
        }
        "json-affected" => asked(whole(std::fs::read(place.join("whole.json")).unwrap(), true)),
        question => answer(question, place),
    }
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    print!("{}", spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6);
}

fn answer(question: &str, place: &Path) {
    let questions = Questions {
        commands: question == "commands",
        files: question == "files",
        contributions: question == "contributions",
    };
    let cache = Cache::at(place);
    let info = match question {
        "affected" => cache.load_for_paths(&key(), &[HEADER], false),
        "owner" => cache.load_for_addresses(&key(), &[0x1008]),
        _ => cache.load(&key(), &questions),
    };
    let info = info.unwrap();
    assert!(!info.units.is_empty());
    match question {
        "affected" => assert!(!info.affected(&[HEADER]).units.is_empty()),
        "owner" => assert!(info.owners(0x1008).owner().is_some()),
        "commands" => assert!(info.units[0].command.is_some()),
        _ => {}
    }
    black_box(info);
}

fn store(info: &BuildInfo, place: &Path) {
    Cache::at(place).store(&key(), info, &Questions::ALL, &[]).unwrap();
    std::fs::write(place.join("whole.postcard"), postcard::to_allocvec(info).unwrap()).unwrap();
    std::fs::write(place.join("whole.json"), serde_json::to_vec(info).unwrap()).unwrap();
}

fn key() -> CacheKey {
    CacheKey::new(&Identity::Pdb { guid: [1; 16], age: 1 })
}

/// Units of 300 files (or so) out of 4,000, each with a command of 3 KB and 64 contributions.
fn build(units: u32, files: u32) -> BuildInfo {
    let mut info = BuildInfo::new(Format::Pdb);
    info.identity = Some(Identity::Pdb { guid: [1; 16], age: 1 });
    for number in 0..4_000_u32 {
        info.checksums.push(Checksum::Sha256([number as u8; 32]));
        info.files.push(File {
            path: format!(r"D:\work\engine\src\{}\header{number}.h", number / 20),
            spellings: vec![format!(r"d:\WORK\engine\src\{}\header{number}.h", number / 20)],
            found: Found::Missing,
            units: Vec::new(),
        });
    }
    let options: String = (0..40)
        .map(|number| format!(r#"-I"D:\work\third party\{number}\include\of\it" "#))
        .collect();
    for number in 0..units {
        let id = UnitId(number);
        let mut unit = Unit {
            module: format!(r"D:\work\engine\obj\{number}.obj"),
            object: Some(Fact::recorded(format!(r"D:\work\engine\obj\{number}.obj"))),
            source: Some(Fact::recorded(format!(r"src\{number}.cpp"))),
            cwd: Some(Fact::recorded(r"D:\work\engine".to_owned())),
            command: Some(Fact::recorded(Command::Line {
                raw: format!("{options} -c -DUNIT={number}"),
                quoting: Quoting::Windows,
                with_compiler: false,
                cut: false,
            })),
            ..Unit::default()
        };
        for step in 0..files {
            let file = (number.wrapping_mul(31) + step * 13) % 4_000;
            let one = FileUse {
                file: FileId(file),
                checksum: Some(file),
                provenance: Provenance::Recorded,
            };
            unit.files.push(one);
            info.files[file as usize].units.push(id);
        }
        for step in 0..64 {
            info.contributions.push(Contribution {
                address: 0x1000 + u64::from(number * 64 + step) * 32,
                size: 32,
                unit: id,
                characteristics: 0x6000_0020,
                section: 1,
                claim: Claim::Sole,
            });
        }
        info.units.push(unit);
    }
    info
}
