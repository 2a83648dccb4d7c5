//! The whole crate, from outside: processes that compilers of this machine make, their core files,
//! and targets written byte by byte for what no process of this machine has.

/// Core files, made by the kernel and by gdb.
#[cfg(target_os = "linux")]
mod cores;
/// Lists that are damaged, and where the walk along them ends.
mod damaged;
/// Core files of programs for other processors, made by their emulator.
#[cfg(target_os = "linux")]
mod foreign;
/// Layouts and ways to the lists that no process of this machine has.
mod handmade;
/// Reading memory: limits, batches, pages that are not there.
mod memories;
/// What the oracle that the fuzzer uses says of every regression, and of random damage.
mod oracle;
/// This process.
#[cfg(target_os = "linux")]
mod own;
/// Targets written byte by byte.
mod paper;
/// Notes of static probes, written byte by byte.
mod probes;
/// Other processes.
#[cfg(target_os = "linux")]
mod processes;
/// Compilers, and the processes they make.
#[cfg(target_os = "linux")]
mod support;
/// Variables of which each thread has its own.
#[cfg(target_os = "linux")]
mod threads;
/// Snapshots of a process that loads and unloads all the time.
#[cfg(target_os = "linux")]
mod torn;
/// The state machine, and differences of snapshots.
mod trackers;
