//! What is small takes little memory, whatever it claims.

#[path = "support/heap.rs"]
mod heap;

use build_info::around::{CargoOutput, Depfile, Manifest, NinjaLog, Surroundings};
use build_info::{Cache, CacheKey, Identity, Questions, Quoting, System};

const MOST: usize = 64 << 20;

#[test]
fn a_small_manifest_takes_at_most_64_megabytes() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_str().unwrap();
    let lines =
        |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let doubled = lines(64, &|number| format!("v{} = $v{number}$v{number}\n", number + 1));
    let of_rule = lines(64, &|number| format!("  w{number} = $w{}$w{}\n", number + 1, number + 1));
    let long = "x".repeat(20_000);
    for text in [
        format!("v0 = {long}\n{doubled}"),
        format!("rule r\n  command = $w0\n{of_rule}build o: r i\n"),
        format!(
            "rule r\n  command = {long}\n{}",
            lines(2_500, &|number| format!("build {number}: r\n"))
        ),
        format!(
            "rule r\n  command = $in $in_newline $out\nv = {long}\nbuild $v: r {}\n",
            "$v ".repeat(5_000)
        ),
        format!("rule r\n  command = c\nbuild o: r\n{}", "include build.ninja\n".repeat(50)),
        format!("rule r\n  command = c\nbuild o: r\n{}", "subninja other.ninja\n".repeat(5_000)),
    ] {
        std::fs::write(directory.path().join("build.ninja"), &text).unwrap();
        std::fs::write(directory.path().join("other.ninja"), "build p: r\n".repeat(50)).unwrap();
        let (manifest, most) = heap::most_during(|| Manifest::read(root, "build.ninja", &System));
        assert!(most < MOST, "{most} bytes for {} of {:?}", text.len(), &text[..40]);
        let read = |around: &mut Surroundings| around.add_ninja(root, "build.ninja", &System);
        let (_, most) = heap::most_during(|| read(&mut Surroundings::default()));
        assert!(most < 2 * MOST, "{most} bytes for {} edges", manifest.edges.len());
    }
}

#[test]
fn a_log_a_depfile_a_line_and_an_entry_take_what_they_have() {
    let mut log = b"# ninjadeps\n\x04\0\0\0".to_vec();
    log.extend(0x8007_fffc_u32.to_le_bytes());
    let text = "a ".repeat(100_000);
    let line = "\\\"".repeat(100_000);
    let identity = Identity::BuildId(vec![1]);
    let directory = tempfile::tempdir().unwrap();
    let (_, most) = heap::most_during(|| {
        assert!(NinjaLog::parse(&log).unwrap().is_cut);
        Depfile::parse(format!("{text}: {text}").as_bytes());
        CargoOutput::parse(text.as_bytes());
        for quoting in
            [Quoting::Windows, Quoting::Posix, Quoting::Gnu, Quoting::Llvm, Quoting::Words]
        {
            quoting.split(&line);
            quoting.split(&text);
        }
        assert!(
            Cache::at(directory.path()).load(&CacheKey::new(&identity), &Questions::ALL).is_none()
        );
    });
    assert!(most < MOST, "{most}");
}

#[test]
fn a_long_path_that_a_log_names_often_is_there_once() {
    let path = [b'a'; 400_000];
    let record = |dependencies: u32, record: &[u8]| {
        [&(record.len() as u32 | dependencies << 31).to_le_bytes()[..], record].concat()
    };
    let path = record(0, &[&path[..], &u32::MAX.to_le_bytes()].concat());
    let head = b"# ninjadeps\n\x04\0\0\0";
    let log = [&head[..], &path, &record(1, &[0; 12 + 4 * 100_000])].concat();
    // Few uses are all taken, and so are many of a path of the length that paths have.
    let few = [&head[..], &path, &record(1, &[0; 12 + 4 * 20])].concat();
    let short =
        [&head[..], &record(0, b"/usr/include/x86_64-linux-gnu/bits/types/a.h\xff\xff\xff\xff")];
    let short = [&short.concat()[..], &record(1, &[0; 12 + 4 * 100_000])].concat();
    for (log, uses) in [(log, 0), (few, 20), (short, 100_000)] {
        let mut around = Surroundings::default();
        let (_, most) = heap::most_during(|| {
            around.add_ninja_log("/b", &NinjaLog::parse(&log).unwrap());
        });
        assert!(most < MOST / 4, "{most} bytes for {}", log.len());
        let taken: usize = around.steps.iter().flat_map(|step| &step.inputs).map(Vec::len).sum();
        assert_eq!(taken, uses);
        assert_eq!(around.remarks.len(), usize::from(uses == 0), "{:?}", around.remarks);
    }
}

#[test]
fn a_depfile_of_nothing_but_rules_is_cut() {
    let text = "a: c\nb: c\n".repeat(500_000);
    let mut around = Surroundings::default();
    let (_, most) = heap::most_during(|| around.add_depfile(None, text.as_bytes()));
    assert!(most < MOST, "{most} bytes");
    assert_eq!(around.steps.len(), 1 << 16);
    assert_eq!(around.remarks.len(), 1);
}
