//! Runs the cases, several at a time, and reports as libtest does.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::case::{Body, Case, End};
use super::guest::{self, GUESTS, Guest};

const VARIABLE: &str = "CRASH_GUARD_CASE";
const WAYS: [&str; 2] = ["guest_O0", "guest_O2"];

pub fn run(cases: &[Case]) -> ExitCode {
    if let Ok(name) = std::env::var(VARIABLE) {
        be(cases, &name);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let all = expand(cases);
    if arguments.list {
        for (name, _) in &all {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = all.iter().filter(|(name, _)| arguments.wants(name)).collect();
    let missing = build_guests();
    println!("\nrunning {} tests", wanted.len());

    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((name, case)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = judge(name, case, &missing);
                    match &outcome {
                        Outcome::Passed => println!("test {name} ... ok"),
                        Outcome::Skipped(why) => println!("test {name} ... skipped: {why}"),
                        Outcome::Failed(_) => println!("test {name} ... FAILED"),
                    }
                    outcomes.lock().unwrap().push((name.clone(), outcome));
                }
            });
        }
    });

    let outcomes = outcomes.into_inner().unwrap();
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, o)| wanted(o)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    for (name, outcome) in &outcomes {
        if let Outcome::Failed(why) = outcome {
            println!("\n---- {name} ----\n{why}");
        }
    }
    println!(
        "\ntest result: {}. {} passed; {failed} failed; {} ignored; 0 measured; {} filtered out\n",
        if failed == 0 { "ok" } else { "FAILED" },
        count(|outcome| matches!(outcome, Outcome::Passed)),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        all.len() - wanted.len(),
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

fn judge(name: &str, case: &Case, missing: &HashMap<&str, String>) -> Outcome {
    let emulated = case.not_emulated.filter(|_| guest::is_emulated());
    if let Some(why) = case.impossible.or(emulated) {
        return Outcome::Skipped(why.to_owned());
    }
    if let Some(why) = missing.values().next() {
        if std::env::var("REQUIRE_TOOLS").is_ok_and(|value| value == "1") {
            return Outcome::Failed(why.clone());
        }
        return Outcome::Skipped(format!("no guest: {}", why.lines().next().unwrap_or_default()));
    }
    let output = start(name);
    let got = match (output.status.signal(), output.status.code()) {
        (Some(signal), _) => End::Signal(signal),
        (None, Some(0)) => End::Success,
        (None, code) => End::Code(code.unwrap_or(-1)),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    let good = match case.end {
        End::Saying(signal, words) => got == End::Signal(signal) && text.contains(words),
        end => got == end,
    };
    if good {
        return Outcome::Passed;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Outcome::Failed(format!("wanted {:?}, got {got:?}\n{said}{text}", case.end))
}

/// Runs one case in a process of its own.
fn start(name: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    let mut command = match guest::runner() {
        Some(runner) => {
            let mut command = Command::new(&runner[0]);
            command.args(&runner[1..]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .env(VARIABLE, name)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts itself")
}

/// Is the process of one case.
fn be(cases: &[Case], name: &str) {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &no_core);
        libc::alarm(300); // a case that hangs dies of SIGALRM
    }
    let (way, plain) = name.split_once("::").unwrap_or(("", name));
    let case = cases.iter().find(|case| case.name == plain).expect("a case of this name");
    let installed =
        case.installs.then(|| crash_guard::install(crash_guard::Config::new()).unwrap());
    match case.body {
        Body::Plain(body) => body(),
        Body::WithGuest(body) => body(&Guest::open(&guest::built(way))),
    }
    drop(installed);
}

fn expand(cases: &[Case]) -> Vec<(String, Case)> {
    let mut all = Vec::new();
    for case in cases {
        match case.body {
            Body::Plain(_) => all.push((case.name.to_owned(), *case)),
            Body::WithGuest(_) => {
                all.extend(WAYS.iter().map(|way| (format!("{way}::{}", case.name), *case)));
            }
        }
    }
    all
}

fn build_guests() -> HashMap<&'static str, String> {
    GUESTS.iter().filter_map(|source| source.build().err().map(|why| (source.name, why))).collect()
}

/// The part of libtest's command line that makes sense here.
struct Arguments {
    list: bool,
    exact: bool,
    filters: Vec<String>,
    skips: Vec<String>,
}

impl Arguments {
    fn parse() -> Self {
        let mut arguments =
            Self { list: false, exact: false, filters: Vec::new(), skips: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => arguments.list = true,
                "--exact" => arguments.exact = true,
                "--skip" => arguments.skips.extend(words.next()),
                "--format" | "--test-threads" | "--color" | "-Z" => {
                    words.next();
                }
                _ if word.starts_with('-') => {}
                _ => arguments.filters.push(word),
            }
        }
        arguments
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |pattern: &String| {
            if self.exact { name == pattern } else { name.contains(pattern.as_str()) }
        };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skips.iter().any(fits)
    }
}
