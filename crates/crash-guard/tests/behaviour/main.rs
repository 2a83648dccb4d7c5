//! What guards promise, each promise in a process of its own: the tests end processes.
//!
//! This program runs every case by starting itself again with the case's name in the
//! environment, under the runner that cargo is told to use for a foreign target. Guests are
//! compiled when the tests start; a case whose tools are missing is skipped by name, or fails if
//! `REQUIRE_TOOLS=1`.
#![allow(unsafe_code, reason = "guests are called through pointers, and faults are made by hand")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "what these blocks do is wrong on purpose")]
#![allow(clippy::result_large_err, reason = "a fault is inline")]
#![cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    allow(unused)
)]

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    pub mod case;
    pub mod guest;
    mod harness;

    mod barriers;
    mod copies;
    mod deadlines;
    mod exceptions;
    mod faults;
    mod handlers;
    mod locks;
    mod overflow;
    mod passing_on;
    mod restored;
    #[cfg(feature = "symbolize")]
    mod symbols;
    mod threads;

    pub fn main() -> std::process::ExitCode {
        let mut cases = Vec::new();
        for group in [
            faults::CASES,
            overflow::CASES,
            exceptions::CASES,
            restored::CASES,
            barriers::CASES,
            deadlines::CASES,
            threads::CASES,
            passing_on::CASES,
            handlers::CASES,
            locks::CASES,
            copies::CASES,
        ] {
            cases.extend_from_slice(group);
        }
        #[cfg(feature = "symbolize")]
        cases.extend_from_slice(symbols::CASES);
        harness::run(&cases)
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn main() {
    println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}
