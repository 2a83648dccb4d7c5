//! What a step and a reload cost, beside the least that they could cost.
//!
//! Machines are noisy, so that a time by itself proves little: each measurement is taken beside its
//! floor, round by round in turn, and what is printed in the end is the median of the rounds'
//! ratios with the bound that it has to keep.
#![allow(missing_docs, unsafe_code, reason = "a benchmark calls the loader by itself")]

use std::ffi::{CString, c_int, c_void};
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use criterion::{BatchSize, Criterion};
use reloader::{Plugin, Step, Watch};

fn main() {
    let workshop = Workshop::new();
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    let mut ratios = vec![step(&mut criterion, &workshop)];
    for (name, padding, bound) in
        [("16 KB", 0, 2.0), ("1 MB", 1_000_000, 1.3), ("30 MB", 30_000_000, 1.3)]
    {
        ratios.push(reload(&mut criterion, &workshop, name, padding, bound));
    }
    ratios.push(state(&workshop));
    criterion.final_summary();
    println!("\nratios (median of the rounds; what is measured / its floor, measured in turn)");
    for ratio in ratios {
        println!("  {ratio}");
    }
}

/// A step of an empty guest, with the check for a new build, beside a plain indirect call of the
/// same function.
fn step(criterion: &mut Criterion, workshop: &Workshop) -> String {
    let library = workshop.guest("empty", EMPTY);
    let mut plugin = workshop.plugin(&library, Watch::Notify);
    assert!(matches!(plugin.step(), Step::Ran(0)));
    let handle = open(&library);
    type Main = extern "C" fn(*mut c_void, c_int) -> c_int;
    // SAFETY: the library is open and stays so, and this is how it defines the function.
    let main: Main = unsafe { std::mem::transmute(libc::dlsym(handle, c"cr_main".as_ptr())) };
    let main = black_box(main);
    let context = std::ptr::from_ref(plugin.context()).cast_mut().cast::<c_void>();

    let mut group = criterion.benchmark_group("step");
    group.bench_function("plain indirect call", |b| b.iter(|| black_box(main)(context, 1)));
    group.bench_function("Plugin::step", |b| b.iter(|| plugin.step()));
    group.finish();

    const TIMES: u32 = 200_000;
    let ratio = rounds(
        41,
        || {
            time(|| {
                for _ in 0..TIMES {
                    let _ = black_box(plugin.step());
                }
            })
        },
        || {
            time(|| {
                for _ in 0..TIMES {
                    black_box(black_box(main)(context, 1));
                }
            })
        },
    );
    format!("step() of an empty guest / plain indirect call: {ratio:.2} (at most 12)")
}

/// A reload beside copying the file, `dlopen` and `dlclose`.
fn reload(
    criterion: &mut Criterion,
    workshop: &Workshop,
    name: &str,
    padding: usize,
    bound: f64,
) -> String {
    let source = format!("{EMPTY}\n__asm__(\".section .rodata\\n.fill {padding},1,90\\n.text\");");
    let library = workshop.guest(&format!("padded{padding}"), &source);
    let mut plugin = workshop.plugin(&library, Watch::Manual);
    assert!(matches!(plugin.step(), Step::Ran(0)));

    let mut group = criterion.benchmark_group(format!("reload {name}"));
    group.bench_function("copy, dlopen, dlclose", |b| {
        b.iter_batched(
            || workshop.copy_name(),
            |copy| floor(&library, &copy),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("Plugin::step with a new build", |b| {
        b.iter_batched(|| touch(&library), |()| reloading(&mut plugin), BatchSize::PerIteration);
    });
    group.finish();

    let ratio = rounds(
        if padding > 10_000_000 { 15 } else { 101 },
        || {
            touch(&library);
            time(|| reloading(&mut plugin))
        },
        || {
            let copy = workshop.copy_name();
            let took = time(|| floor(&library, &copy));
            fs::remove_file(copy).unwrap();
            took
        },
    );
    format!("reload of a {name} guest / copy + dlopen + dlclose: {ratio:.2} (at most {bound})")
}

/// What 64 MB of state cost over that floor, in copies of 64 MB.
fn state(workshop: &Workshop) -> String {
    const SIZE: usize = 64 << 20;
    let source = format!(
        "{EMPTY}\nstatic CR_STATE int numbers[{}] = {{ 1 }};\n\
         CR_EXPORT int *cr_numbers(void) {{ return numbers; }}",
        SIZE / 4
    );
    let library = workshop.guest("state", &source);
    let mut plugin = workshop.plugin(&library, Watch::Manual);
    assert!(matches!(plugin.step(), Step::Ran(0)));
    // As a guest would have filled it.
    type Numbers = extern "C" fn() -> *mut c_int;
    // SAFETY: this is how the guest defines the function.
    let numbers = unsafe { plugin.symbol::<Numbers>("cr_numbers") }.unwrap()();
    for index in 0..SIZE / 4 {
        // SAFETY: the guest's array has as many elements.
        unsafe { numbers.add(index).write(index as c_int) };
    }
    let (from, mut to) = (vec![1u8; SIZE], vec![2u8; SIZE]);
    let mut over = Vec::new();
    // Once versions leave the history, the next one takes over their memory; the first few have to
    // get new one.
    for _ in 0..5 {
        touch(&library);
        reloading(&mut plugin);
    }
    for _ in 0..15 {
        touch(&library);
        let ours = time(|| reloading(&mut plugin));
        let copy = workshop.copy_name();
        let least = time(|| floor(&library, &copy));
        fs::remove_file(copy).unwrap();
        let memcpy = time(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        over.push((ours.as_secs_f64() - least.as_secs_f64()) / memcpy.as_secs_f64());
    }
    let over = median(over);
    format!(
        "64 MB of state, over that floor / memcpy of 64 MB: {over:.2} (at most 2.5; with a full history)"
    )
}

const EMPTY: &str = "#include \"reloader_guest.h\"\n\
    CR_EXPORT int cr_main(struct cr_plugin *c, enum cr_op o) { (void)c; (void)o; return 0; }";

fn reloading(plugin: &mut Plugin) {
    let before = plugin.version();
    plugin.check();
    assert!(matches!(plugin.step(), Step::Ran(0)));
    assert_ne!(plugin.version(), before);
}

fn floor(library: &Path, copy: &Path) {
    fs::copy(library, copy).unwrap();
    let handle = open(copy);
    // SAFETY: the handle was opened just now.
    unsafe { libc::dlclose(handle) };
}

fn open(library: &Path) -> *mut c_void {
    let name = CString::new(library.as_os_str().as_bytes()).unwrap();
    // SAFETY: a library without constructors, and a string that ends.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null());
    handle
}

fn touch(library: &Path) {
    File::options().write(true).open(library).unwrap().set_modified(SystemTime::now()).unwrap();
}

fn time(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// The median ratio of the two, measured in turn.
fn rounds(
    count: usize,
    mut ours: impl FnMut() -> Duration,
    mut floor: impl FnMut() -> Duration,
) -> f64 {
    ours();
    floor();
    let ratio = |_| ours().as_secs_f64() / floor().as_secs_f64();
    median((0..count).map(ratio).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Where the guests are made and copied.
struct Workshop {
    directory: tempfile::TempDir,
    copies: std::cell::Cell<u32>,
}

impl Workshop {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), copies: std::cell::Cell::new(0) }
    }

    fn guest(&self, name: &str, source: &str) -> PathBuf {
        let source_file = self.directory.path().join(format!("{name}.c"));
        let library = self.directory.path().join(format!("lib{name}.so"));
        fs::write(&source_file, source).unwrap();
        let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reloader-guest/include");
        let status = Command::new("cc")
            .args(["-O2", "-fPIC", "-shared", "-I"])
            .args([&header, &source_file])
            .arg("-o")
            .arg(&library)
            .status()
            .unwrap();
        assert!(status.success());
        library
    }

    fn plugin(&self, library: &Path, watch: Watch) -> Plugin {
        Plugin::builder(library).temp_dir(self.directory.path()).watch(watch).open().unwrap()
    }

    fn copy_name(&self) -> PathBuf {
        self.copies.set(self.copies.get() + 1);
        self.directory.path().join(format!("copy{}.so", self.copies.get()))
    }
}
