//! Builds that can never run, or not yet: what runs is not disturbed, and the good build is loaded
//! when it is there.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;

use reloader::{Event, Operation, Plugin, RefusalKind, Step};
use reloader_tests::{Bench, Build, Ledger, Seen, alone, apart, pass, step_until, tool};

/// A plugin that runs build 1, or waits for its first build.
struct Running {
    bench: Bench,
    plugin: Plugin,
    seen: Seen,
    ledger: &'static Ledger,
}

impl Running {
    /// Build 1, which has made two steps.
    fn build_1() -> Self {
        let mut running = Self::waiting_on(Bench::with(&Build::ledger(1)));
        assert_eq!(running.plugin.step(), Step::Ran(1));
        assert_eq!(running.plugin.step(), Step::Ran(1));
        running
    }

    fn waiting_on(bench: Bench) -> Self {
        let (mut plugin, seen) = bench.open();
        let ledger = Ledger::new();
        ledger.give_to(&mut plugin);
        Self { bench, plugin, seen, ledger }
    }

    /// Steps, and sees that nothing has changed for build 1.
    fn is_undisturbed(&mut self, what: &str) {
        let count = self.ledger.count();
        assert_eq!(self.plugin.step(), Step::Ran(1), "{what}");
        assert_eq!(self.plugin.version(), Some(1), "{what}");
        assert_eq!(self.ledger.calls(Operation::Load), 1, "{what}");
        assert_eq!(self.ledger.calls(Operation::Unload), 0, "{what}");
        assert_eq!(self.ledger.count(), count + 1, "{what}");
        assert_eq!(self.ledger.plain(), 500 + self.ledger.count(), "{what}");
        assert_eq!(self.ledger.bss(), self.ledger.count(), "{what}");
    }

    /// Puts the complete build there: it takes over with the state.
    fn goes_on_with(&mut self, build: i32, what: &str) {
        let count = self.ledger.count();
        self.bench.put(&Build::ledger(build));
        assert_eq!(self.plugin.step(), Step::Ran(build), "{what}: {:?}", self.seen.take());
        assert_eq!(self.ledger.count(), count + 1, "{what}");
        assert_eq!(self.ledger.plain(), 501, "{what}");
    }

    fn refusals(&self) -> Vec<RefusalKind> {
        let refusals = self.seen.take().into_iter().filter_map(|event| match event {
            Event::Refused(refusal) => Some(refusal.kind),
            _ => None,
        });
        refusals.collect()
    }
}

/// Offers `bytes` as the second build and as the very first one: it is not loaded, costs nothing,
/// and the good build is loaded afterwards. What it is refused for, if it is not waited for.
fn is_harmless(bytes: &[u8], what: &str) -> Option<RefusalKind> {
    let mut running = Running::build_1();
    running.seen.forget();
    running.bench.put_bytes(bytes);
    for _ in 0..3 {
        running.is_undisturbed(what);
    }
    let mut refusals = running.refusals();
    assert_eq!(running.bench.copies().len(), 1, "{what}: the copy that runs and no other");
    running.goes_on_with(2, what);

    let bench = Bench::new();
    bench.put_bytes(bytes);
    let mut first = Running::waiting_on(bench);
    for _ in 0..3 {
        assert_eq!(first.plugin.step(), Step::Idle, "{what} first");
    }
    assert_eq!(first.refusals(), refusals, "{what} first");
    assert_eq!(first.bench.copies(), Vec::<PathBuf>::new(), "{what} first");
    first.goes_on_with(1, what);
    // One build, one refusal, however often one steps.
    assert!(refusals.len() <= 1, "{what}: {refusals:?}");
    refusals.pop()
}

fn table(bytes: &[u8], offset_at: usize, size_at: usize, count_at: usize) -> (usize, usize, usize) {
    let word = |at: usize, length: usize| {
        let mut word = [0; 8];
        word[..length].copy_from_slice(&bytes[at..at + length]);
        usize::try_from(u64::from_le_bytes(word)).unwrap()
    };
    (word(offset_at, 8), word(size_at, 2), word(count_at, 2))
}

/// Where headers begin and end, and what they speak of (ELF-64, little-endian).
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let word = |at: usize| {
        usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
    };
    let mut cuts = vec![0, 1, 3, 4, 16, 52, 63, 64];
    let (segments, size, count) = table(bytes, 32, 54, 56);
    for header in (0..=count).map(|number| segments + number * size) {
        cuts.extend([header - 1, header, header + 1]);
        if header < segments + count * size {
            let (offset, length) = (word(header + 8), word(header + 32));
            cuts.extend([offset, offset + length]);
        }
    }
    let (sections, size, count) = table(bytes, 40, 58, 60);
    for header in (0..=count).map(|number| sections + number * size) {
        cuts.extend([header - 1, header, header + 1]);
        if header < sections + count * size {
            cuts.extend([word(header + 24), word(header + 24) + word(header + 32)]);
        }
    }
    cuts.extend((1..20).map(|part| bytes.len() * part / 20));
    cuts.push(bytes.len() - 1);
    cuts.retain(|&cut| cut < bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn a_build_that_is_cut_anywhere_is_waited_for() {
    let whole = Build::ledger(2).bytes();
    let cuts = boundaries(&whole);
    assert!(cuts.len() > 60, "{cuts:?}");
    let mut running = Running::build_1();
    running.seen.forget();
    for &cut in &cuts {
        running.bench.put_bytes(&whole[..cut]);
        running.is_undisturbed(&format!("cut at {cut}"));
        running.is_undisturbed(&format!("cut at {cut}"));
        assert_eq!(running.refusals(), [], "cut at {cut}: more bytes could cure it");
    }
    running.goes_on_with(2, "after all cuts");

    let bench = Bench::new();
    bench.put_bytes(b"");
    let mut first = Running::waiting_on(bench);
    for &cut in &cuts {
        first.bench.put_bytes(&whole[..cut]);
        assert_eq!(first.plugin.step(), Step::Idle, "cut at {cut}");
        assert_eq!(first.refusals(), [], "cut at {cut}");
    }
    first.goes_on_with(2, "after all cuts");
    assert_eq!(first.plugin.version(), Some(1));
}

#[test]
fn a_build_that_is_filled_up_page_by_page_is_loaded_when_it_is_whole() {
    // A linker that sets the length first and then fills in.
    let whole = Build::ledger(2).bytes();
    let mut running = Running::build_1();
    for filled in (0..whole.len()).step_by(4096) {
        let mut bytes = vec![0; whole.len()];
        bytes[..filled].copy_from_slice(&whole[..filled]);
        running.bench.put_bytes(&bytes);
        let step = running.plugin.step();
        if running.plugin.version() == Some(1) {
            assert_eq!(step, Step::Ran(1), "filled up to {filled}");
            assert_eq!(running.ledger.calls(Operation::Unload), 0, "filled up to {filled}");
        } else {
            // What is missing does not matter to the loader nor to the guest.
            assert_eq!(step, Step::Ran(2), "filled up to {filled}");
        }
    }
    let count = running.ledger.count();
    running.bench.put(&Build::ledger(3));
    assert_eq!(running.plugin.step(), Step::Ran(3));
    assert_eq!(running.ledger.count(), count + 1);
}

#[test]
fn a_page_of_zeros_anywhere_never_costs_the_state() {
    // What becomes of zeroed code is decided by the processor: out of the test's own process.
    if let Some(command) = alone("bad_builds::a_page_of_zeros_anywhere_never_costs_the_state") {
        pass(command);
        return;
    }
    let whole = Build::ledger(2).bytes();
    for page in (0..whole.len()).step_by(4096) {
        let end = whole.len().min(page + 4096);
        let mut bytes = whole.clone();
        bytes[page..end].fill(0);
        if bytes == whole {
            continue;
        }
        let what = format!("zeros at {page:#x} of {:#x}", whole.len());
        let mut running = Running::build_1();
        running.bench.put_bytes(&bytes);
        let mut steps = running.ledger.count();
        for _ in 0..3 {
            if matches!(running.plugin.step(), Step::Ran(_)) {
                steps += 1;
            }
        }
        assert!(running.ledger.calls(Operation::Unload) <= 1, "{what}");
        running.bench.put(&Build::ledger(3));
        assert_eq!(running.plugin.step(), Step::Ran(3), "{what}: {:?}", running.seen.take());
        // Damage that neither loader nor processor can see may have kept the guest from counting,
        // never from going on.
        assert!(running.ledger.count() > 2, "{what}: {:?}", running.seen.take());
        assert!(running.ledger.count() <= steps + 1, "{what}");

        let bench = Bench::new();
        bench.put_bytes(&bytes);
        let mut first = Running::waiting_on(bench);
        for _ in 0..3 {
            let _may_run_or_not = first.plugin.step();
        }
        first.bench.put(&Build::ledger(3));
        assert_eq!(first.plugin.step(), Step::Ran(3), "{what} first: {:?}", first.seen.take());
    }
}

#[test]
fn a_text_is_refused() {
    let text = "INPUT(libguest.so.1)\n".repeat(400);
    assert_eq!(is_harmless(text.as_bytes(), "a text"), Some(RefusalKind::BadImage));
    assert_eq!(is_harmless(b"hello, world: no image\n", "a line"), Some(RefusalKind::BadImage));
}

#[test]
fn noise_behind_the_magic_is_refused_or_waited_for() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..40 {
        let mut bytes = b"\x7fELF".to_vec();
        // Some of it more like an image, so that it is read deeper.
        if round % 4 > 0 {
            let keep = [16, 24, 64][round % 4 - 1];
            bytes = Build::ledger(2).bytes()[..keep].to_vec();
        }
        while bytes.len() < 20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        is_harmless(&bytes, &format!("noise {round}"));
    }
}

#[test]
fn another_machines_image_is_refused() {
    let Some(_) = tool("aarch64-linux-gnu-gcc") else { return };
    let build = Build::ledger(2).compiler("aarch64-linux-gnu-gcc");
    assert_eq!(is_harmless(&build.bytes(), "AArch64"), Some(RefusalKind::BadImage));
}

#[test]
fn an_image_of_another_word_size_is_refused() {
    // An ELF-32 header for an i386 shared object, made by hand: 32-bit C libraries are rarely
    // installed.
    let mut bytes = vec![0; 4096];
    bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1, 1, 1, 0]);
    bytes[16..20].copy_from_slice(&[3, 0, 3, 0]);
    bytes[20] = 1;
    bytes[28] = 52;
    bytes[40] = 52;
    bytes[42] = 32;
    bytes[44] = 1;
    bytes[52] = 1;
    bytes[68] = 0xff;
    bytes[72] = 0xff;
    assert_eq!(is_harmless(&bytes, "ELF-32"), Some(RefusalKind::BadImage));

    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("g.c"), "int cr_main(void *c, int o) { return 1; }").unwrap();
    let built = Command::new("cc")
        .current_dir(source.path())
        .args(["-m32", "-nostdlib", "-shared", "-fPIC", "g.c", "-o", "g.so"])
        .output()
        .unwrap();
    if built.status.success() {
        let bytes = fs::read(source.path().join("g.so")).unwrap();
        assert_eq!(is_harmless(&bytes, "i386"), Some(RefusalKind::BadImage));
    } else {
        println!("skipped the real one: cc -m32 does not work here");
    }
}

#[test]
fn an_executable_is_refused() {
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(is_harmless(&program, "an executable"), Some(RefusalKind::BadImage));
}

#[test]
fn a_build_without_the_entry_is_refused_and_named() {
    let build = Build::c("int some_other_function(void) { return 1; }\n");
    assert_eq!(is_harmless(&build.bytes(), "no entry"), Some(RefusalKind::BadImage));
    let mut running = Running::build_1();
    running.seen.forget();
    running.bench.put(&build);
    running.is_undisturbed("no entry");
    let events = running.seen.take();
    let [Event::Refused(refusal)] = &events[..] else { panic!("{events:?}") };
    assert!(refusal.reason.contains("cr_main"), "{}", refusal.reason);
}

#[test]
fn an_entry_that_is_not_exported_is_missing() {
    let hidden = Build::ledger(2).flag("-Wl,--exclude-libs,ALL").flag("-Wl,--version-script=map");
    let hidden = hidden.header("map", "{ local: *; };\n");
    assert_eq!(is_harmless(&hidden.bytes(), "hidden entry"), Some(RefusalKind::BadImage));
}

#[test]
fn an_entry_of_another_name_is_found_when_it_is_asked_for() {
    let bench = Bench::with(&Build::c(
        "int my_main(void *c, int o); int my_main(void *c, int o) { (void)c; return 40 + o; }\n",
    ));
    let (mut plugin, _) = bench.open_with(|builder| builder.entry("my_main"));
    assert_eq!(plugin.step(), Step::Ran(41));
}

#[test]
fn an_undefined_symbol_is_refused_and_named() {
    let build = Build::ledger(2).more(
        "
extern int nobody_defines_this(void);
int uses(void);
int uses(void) { return nobody_defines_this(); }
",
    );
    assert_eq!(is_harmless(&build.bytes(), "undefined symbol"), Some(RefusalKind::Loader));
    let mut running = Running::build_1();
    running.seen.forget();
    running.bench.put(&build);
    running.is_undisturbed("undefined symbol");
    let events = running.seen.take();
    let [Event::Refused(refusal)] = &events[..] else { panic!("{events:?}") };
    assert!(refusal.reason.contains("nobody_defines_this"), "{}", refusal.reason);
}

#[test]
fn a_build_is_loaded_when_the_library_that_it_misses_appears() {
    let helper = Build::c("int helper(void); int helper(void) { return 1; }\n")
        .flag("-Wl,-soname,libhelper_that_appears.so");
    let guest = Build::ledger(2)
        .more("\nextern int helper(void);\nint uses(void);\nint uses(void) { return helper(); }\n")
        .flag("-Wl,-rpath,$ORIGIN")
        .library(&helper.path());
    assert_eq!(is_harmless(&guest.bytes(), "missing library"), Some(RefusalKind::Loader));

    let mut running = Running::build_1();
    running.seen.forget();
    running.bench.put(&guest);
    running.is_undisturbed("missing library");
    running.is_undisturbed("missing library");
    let events = running.seen.take();
    let [Event::Refused(refusal)] = &events[..] else { panic!("{events:?}") };
    assert!(refusal.reason.contains("libhelper_that_appears.so"), "{}", refusal.reason);
    let count = running.ledger.count();
    let appears = running.bench.directory().join("libhelper_that_appears.so");
    fs::copy(helper.path(), appears).unwrap();
    // A notification would tell; without one it is tried again every second, or when asked.
    running.plugin.check();
    assert_eq!(running.plugin.step(), Step::Ran(2), "{:?}", running.seen.take());
    assert_eq!(running.ledger.count(), count + 1);
}

#[test]
fn an_empty_file_is_waited_for() {
    assert_eq!(is_harmless(b"", "an empty file"), None);
}

#[test]
fn a_file_that_is_gone_is_waited_for() {
    let mut running = Running::build_1();
    running.seen.forget();
    fs::remove_file(running.bench.library()).unwrap();
    running.is_undisturbed("gone");
    running.is_undisturbed("gone");
    assert_eq!(running.refusals(), []);
    running.goes_on_with(2, "gone");

    let bench = Bench::new();
    let (mut plugin, _) = bench.open_with(|builder| builder.may_be_missing(true));
    assert_eq!(plugin.step(), Step::Idle);
    bench.put(&Build::ledger(1));
    assert_eq!(plugin.step(), Step::Ran(1));
}

#[test]
fn a_directory_in_the_place_of_the_build_is_refused_and_goes_again() {
    let mut running = Running::build_1();
    running.seen.forget();
    fs::remove_file(running.bench.library()).unwrap();
    fs::create_dir(running.bench.library()).unwrap();
    running.is_undisturbed("a directory");
    running.is_undisturbed("a directory");
    assert!(running.refusals().len() <= 1);
    fs::remove_dir(running.bench.library()).unwrap();
    running.goes_on_with(2, "a directory");
}

#[test]
fn a_pipe_in_the_place_of_the_build_is_not_waited_on() {
    let mut running = Running::build_1();
    running.seen.forget();
    fs::remove_file(running.bench.library()).unwrap();
    let made = Command::new("mkfifo").arg(running.bench.library()).status().unwrap();
    assert!(made.success());
    running.is_undisturbed("a pipe");
    running.is_undisturbed("a pipe");
    assert!(running.refusals().len() <= 1);
    fs::remove_file(running.bench.library()).unwrap();
    running.goes_on_with(2, "a pipe");
}

/// A build that is thirty million bytes long.
fn large(number: i32) -> Vec<u8> {
    Build::ledger(number)
        .more("\n__attribute__((used)) static const char filling[30000000] = {1};\n")
        .bytes()
}

/// Steps while another thread writes these bytes, and until the build has been loaded, as a whole.
fn step_while_writing(running: &mut Running, bytes: &[u8], write: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(write);
        step_until(&mut running.plugin, |step| {
            match step {
                Step::Ran(1) => {
                    assert_eq!(running.ledger.calls(Operation::Unload), 0);
                    assert_eq!(running.ledger.plain(), 500 + running.ledger.count());
                }
                Step::Ran(2) => {}
                step => panic!("{step:?}: {:?}", running.seen.take()),
            }
            step == Step::Ran(2)
        });
    });
    let lengths: Vec<u64> =
        running.bench.copies().iter().map(|copy| fs::metadata(copy).unwrap().len()).collect();
    assert!(lengths.contains(&(bytes.len() as u64)), "{lengths:?}: it was not whole");
    assert_eq!(running.refusals(), []);
    assert_eq!(running.ledger.calls(Operation::Unload), 1);
}

#[test]
fn a_linker_that_writes_slowly_with_the_file_open_is_waited_for() {
    let bytes = large(2);
    let mut running = Running::build_1();
    running.seen.forget();
    let library = running.bench.library();
    step_while_writing(&mut running, &bytes, || {
        // In place, as `ld` does with a file that is there already.
        let mut file = OpenOptions::new().write(true).truncate(true).open(library).unwrap();
        for chunk in bytes.chunks(200_000) {
            file.write_all(chunk).unwrap();
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_linker_that_opens_writes_and_closes_again_and_again_is_waited_for() {
    let bytes = large(2);
    let mut running = Running::build_1();
    running.seen.forget();
    let library = running.bench.library();
    step_while_writing(&mut running, &bytes, || {
        drop(File::create(&library).unwrap());
        for (number, chunk) in bytes.chunks(1_000_000).enumerate() {
            let mut file = OpenOptions::new().write(true).open(&library).unwrap();
            file.seek(SeekFrom::Start(number as u64 * 1_000_000)).unwrap();
            file.write_all(chunk).unwrap();
        }
    });
}

#[test]
fn a_linker_that_writes_the_first_build_slowly_is_waited_for() {
    let bytes = large(2);
    let bench = Bench::new();
    bench.put_bytes(b"");
    let mut first = Running::waiting_on(bench);
    let library = first.bench.library();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut file = File::create(library).unwrap();
            for chunk in bytes.chunks(500_000) {
                file.write_all(chunk).unwrap();
            }
        });
        step_until(&mut first.plugin, |step| {
            assert!(matches!(step, Step::Idle | Step::Ran(2)), "{step:?}");
            step == Step::Ran(2)
        });
    });
    assert_eq!(first.refusals(), []);
}

#[test]
fn fifty_refused_builds_leave_no_file_and_no_mapping() {
    let bad: [(Vec<u8>, RefusalKind); 3] = [
        (b"a text that is no image".to_vec(), RefusalKind::BadImage),
        (
            Build::ledger(2)
                .more("\nextern int nobody(void);\nint (*uses)(void) = nobody;\n")
                .bytes(),
            RefusalKind::Loader,
        ),
        (Build::c("int nothing(void) { return 1; }\n").bytes(), RefusalKind::BadImage),
    ];
    let mut running = Running::build_1();
    let mappings = running.bench.mappings();
    let copies = running.bench.copies();
    running.seen.forget();
    for round in 0..50 {
        let (bytes, kind) = &bad[round % bad.len()];
        running.bench.put_bytes(bytes);
        running.is_undisturbed("refused");
        assert_eq!(running.refusals(), [*kind]);
    }
    assert_eq!(running.bench.mappings(), mappings);
    assert_eq!(running.bench.copies(), copies);
    running.goes_on_with(2, "after fifty refusals");
}

#[test]
fn fifty_builds_whose_constructors_fail_leave_no_file_and_no_mapping() {
    apart(|| {
        let mut running = Running::build_1();
        let mappings = running.bench.mappings();
        let copies = running.bench.copies();
        let bad = Build::ledger(2)
            .more("\n__attribute__((constructor)) static void early(void) { segv(); }\n")
            .bytes();
        for round in 0..50u32 {
            let mut bytes = bad.clone();
            // Other bytes each time: a build that failed is not loaded again.
            bytes.extend(round.to_le_bytes());
            running.bench.put_bytes(&bytes);
            running.is_undisturbed("faulting constructor");
        }
        assert_eq!(running.bench.mappings(), mappings);
        assert_eq!(running.bench.copies(), copies);
        running.goes_on_with(2, "after fifty constructors");
        assert_eq!(running.plugin.version(), Some(52));
    });
}

#[test]
fn an_entry_that_is_chosen_when_it_is_loaded_runs_or_is_refused() {
    // What `dlsym` gives for it is not where its symbol leads.
    let source = r#"
#include "reloader_guest.h"
static int CR_STATE count = 0;
static int one(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    if (operation == CR_STEP) count++;
    return 50 + count;
}
static void *choose(void) { return (void *)one; }
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation)
    __attribute__((ifunc("choose")));
"#;
    let bench = Bench::with(&Build::c(source));
    let (mut plugin, seen) = bench.open();
    if plugin.step() == Step::Idle {
        let events = seen.take();
        assert!(matches!(&events[..], [Event::Refused(_)]), "{events:?}");
    } else {
        bench.put(&Build::c(source).flag("-O1"));
        assert_eq!(plugin.step(), Step::Ran(52));
        assert_eq!(plugin.version(), Some(2));
        bench.put(&Build::c(source).flag("-O2"));
        assert_eq!(plugin.step(), Step::Ran(53));
    }
    bench.put(&Build::ledger(3));
    assert_eq!(plugin.step(), Step::Ran(3));
}

#[test]
fn an_entry_of_two_versions_is_the_default_one() {
    let source = r#"
#include "reloader_guest.h"
static int CR_STATE count = 0;
CR_EXPORT int old_main(struct cr_plugin *ctx, enum cr_op operation);
CR_EXPORT int new_main(struct cr_plugin *ctx, enum cr_op operation);
int old_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx; (void)operation;
    return 9;
}
int new_main(struct cr_plugin *ctx, enum cr_op operation) {
    (void)ctx;
    if (operation == CR_STEP) count++;
    return 60 + count;
}
__asm__(".symver old_main,cr_main@OLD");
__asm__(".symver new_main,cr_main@@NEW");
"#;
    let build = Build::c(source)
        .flag("-Wl,--version-script=map")
        .header("map", "OLD { global: cr_main; local: *; };\nNEW { global: cr_main; } OLD;\n");
    let bench = Bench::with(&build);
    let (mut plugin, seen) = bench.open();
    assert_eq!(plugin.step(), Step::Ran(61), "{:?}", seen.take());
    bench.put(&build.clone().flag("-O1"));
    assert_eq!(plugin.step(), Step::Ran(62), "{:?}", seen.take());
    bench.put(&build.flag("-O2"));
    assert_eq!(plugin.step(), Step::Ran(63), "{:?}", seen.take());
}

#[test]
fn thread_local_variables_that_no_thread_has_room_for_are_refused() {
    let build = Build::ledger(2).more("\n__thread char enormous[1ul << 40];\n");
    assert_eq!(
        is_harmless(&build.bytes(), "enormous thread-local variables"),
        Some(RefusalKind::BadImage)
    );
}
