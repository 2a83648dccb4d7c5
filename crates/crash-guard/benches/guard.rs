//! What a guarded call costs, beside `sigsetjmp` and `siglongjmp`.
//!
//! After criterion's own report the ratios that matter are printed with their bounds. For them
//! ours and theirs are measured in turns, a round each, and the median of the rounds' ratios is
//! taken: on a busy machine both then suffer alike.
#![allow(missing_docs, reason = "a program")]
#![allow(unsafe_code, reason = "the competitor is C, and faults are made by hand")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "what these blocks do is wrong on purpose")]

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    use std::ffi::{CString, c_int, c_void};
    use std::hint::black_box;
    use std::path::Path;
    use std::process::Command;
    use std::time::Instant;

    use crash_guard::{Config, Entry, Guard, Mask, call, call_fn, install, probe};
    use criterion::Criterion;

    type Call = unsafe extern "C" fn(Entry, *mut c_void) -> i32;

    struct Competitor {
        plain: Call,
        sigsetjmp: Call,
        install: unsafe extern "C" fn(),
    }

    impl Competitor {
        /// Compiles and loads the C side, if there is a C compiler.
        fn build() -> Option<Self> {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/competitor.c");
            let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libcompetitor.so");
            let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
            let done = Command::new(compiler)
                .args(["-O2", "-shared", "-fPIC", "-o"])
                .args([&library, &source])
                .status()
                .is_ok_and(|status| status.success());
            if !done {
                return None;
            }
            let path = CString::new(library.to_str()?).ok()?;
            unsafe {
                let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
                let symbol = |name: &std::ffi::CStr| libc::dlsym(handle, name.as_ptr());
                Some(Self {
                    plain: std::mem::transmute::<*mut c_void, Call>(symbol(c"call_plain")),
                    sigsetjmp: std::mem::transmute::<*mut c_void, Call>(symbol(c"call_sigsetjmp")),
                    install: std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(symbol(
                        c"install",
                    )),
                })
            }
        }
    }

    #[inline(never)]
    unsafe extern "C-unwind" fn leaf(argument: *mut c_void) {
        let number = argument.cast::<u64>();
        unsafe { *number = (*number).wrapping_add(1) };
    }

    #[inline(never)]
    unsafe extern "C-unwind" fn same(_: *mut c_void, number: c_int) -> c_int {
        number
    }

    #[inline(never)]
    unsafe extern "C-unwind" fn fault(_: *mut c_void) {
        unsafe { (8 as *mut u8).write_volatile(1) };
    }

    pub fn main() {
        let _installed = install(Config::new()).unwrap();
        let Some(competitor) = Competitor::build() else {
            println!("skipped: no C compiler for the competitor");
            return;
        };
        let mut number = 0u64;
        let argument: *mut c_void = (&raw mut number).cast();
        let (leaf, fault): (Entry, Entry) = (black_box(leaf), black_box(fault));
        report(&competitor, leaf, fault, argument);
        if std::env::args().any(|word| word == "--test") {
            return; // `cargo test` only wants to see it run
        }
        ratios(&competitor, leaf, fault, argument);
    }

    fn report(competitor: &Competitor, leaf: Entry, fault: Entry, argument: *mut c_void) {
        let mut criterion = Criterion::default().configure_from_args();
        let mut group = criterion.benchmark_group("no fault");
        group.bench_function("plain indirect call", |bencher| {
            bencher.iter(|| unsafe { black_box(leaf)(argument) });
        });
        group.bench_function("call_fn", |bencher| {
            bencher.iter(|| unsafe { call_fn(black_box(leaf), argument) }.is_ok());
        });
        group.bench_function("dispatch", |bencher| {
            let guard = Guard::new();
            bencher.iter(|| unsafe { guard.dispatch(black_box(same), argument, 1) }.is_ok());
        });
        group.bench_function("call", |bencher| {
            bencher.iter(|| unsafe { call(|| black_box(leaf)(argument)) }.is_ok());
        });
        group.bench_function("call with the entry's mask", |bencher| {
            let guard = Guard::new().mask(Mask::Entry);
            bencher.iter(|| unsafe { guard.call_fn(black_box(leaf), argument) }.is_ok());
        });
        group.bench_function("sigsetjmp(env, 1) and call", |bencher| {
            bencher.iter(|| unsafe { (competitor.sigsetjmp)(black_box(leaf), argument) });
        });
        group.bench_function("probe::read", |bencher| {
            bencher.iter(|| probe::read(black_box(argument as usize)));
        });
        group.finish();

        let mut group = criterion.benchmark_group("recovered SIGSEGV");
        group.bench_function("call_fn", |bencher| {
            bencher.iter(|| unsafe { call_fn(black_box(fault), argument) }.is_err());
        });
        group.bench_function("probe::read", |bencher| {
            bencher.iter(|| probe::read(black_box(8)));
        });
        let ours = theirs_installed(competitor);
        group.bench_function("sigsetjmp and siglongjmp", |bencher| {
            bencher.iter(|| unsafe { (competitor.sigsetjmp)(black_box(fault), argument) });
        });
        give_back(&ours);
        group.finish();
    }

    fn ratios(competitor: &Competitor, leaf: Entry, fault: Entry, argument: *mut c_void) {
        println!("\nratios, median of {ROUNDS} interleaved rounds");
        let plain = || unsafe { black_box(leaf)(argument) };
        let guarded = || {
            black_box(unsafe { call_fn(black_box(leaf), argument) }.is_ok());
        };
        let jumping = || {
            black_box(unsafe { (competitor.sigsetjmp)(black_box(leaf), argument) });
        };
        let plain_in_c = || {
            black_box(unsafe { (competitor.plain)(black_box(leaf), argument) });
        };
        line("call_fn / plain indirect call", median(20_000, guarded, plain), "at most 5");
        line("call_fn / indirect call by a C function", median(20_000, guarded, plain_in_c), "");
        line("sigsetjmp(env, 1) / call_fn", median(20_000, jumping, guarded), "at least 15");

        let recovered = || {
            black_box(unsafe { call_fn(black_box(fault), argument) }.is_err());
        };
        let jumped = || {
            black_box(unsafe { (competitor.sigsetjmp)(black_box(fault), argument) });
        };
        // Each round has its own handler in place.
        let mut all: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let ours = time(2_000, &recovered);
                let actions = theirs_installed(competitor);
                let theirs = time(2_000, &jumped);
                give_back(&actions);
                ours / theirs
            })
            .collect();
        all.sort_by(f64::total_cmp);
        line("recovered SIGSEGV / siglongjmp", all[ROUNDS / 2], "at most 1.5");
    }

    fn line(what: &str, ratio: f64, bound: &str) {
        println!("{what:<42} {ratio:>7.2}   {bound}");
    }

    fn median(turns: u32, ours: impl Fn(), theirs: impl Fn()) -> f64 {
        let mut all: Vec<f64> =
            (0..ROUNDS).map(|_| time(turns, &ours) / time(turns, &theirs)).collect();
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    }

    fn time(turns: u32, work: &impl Fn()) -> f64 {
        let start = Instant::now();
        for _ in 0..turns {
            work();
        }
        start.elapsed().as_secs_f64()
    }

    /// Puts the competitor's handler in ours' place and returns ours.
    fn theirs_installed(competitor: &Competitor) -> libc::sigaction {
        unsafe {
            let mut ours = std::mem::zeroed();
            libc::sigaction(libc::SIGSEGV, std::ptr::null(), &mut ours);
            (competitor.install)();
            ours
        }
    }

    fn give_back(ours: &libc::sigaction) {
        unsafe { libc::sigaction(libc::SIGSEGV, ours, std::ptr::null_mut()) };
    }

    const ROUNDS: usize = 101;
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn main() {
    linux::main();
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn main() {}
