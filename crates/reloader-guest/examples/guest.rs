//! A guest in Rust: counts its steps, and shows which count survives a reload.
//!
//! ```text
//! cargo build -p reloader-guest --example guest
//! cargo run --release --bin reloader -- run target/debug/examples/libguest.so
//! ```
//!
//! Then change `GREETING`, build again in another terminal, and watch.

use reloader_guest::{Context, Operation, reload_main, state};
use std::{
    io::{self, Write as _, stdout},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

const GREETING: &str = "Hello";

state! {
    /// Steps taken by all versions together.
    static STEPS: AtomicU32 = AtomicU32::new(0);
}

/// Steps taken by this version: an ordinary static, which starts afresh with each.
static STEPS_OF_THIS_VERSION: AtomicU32 = AtomicU32::new(0);

reload_main! {
    fn run(context: &mut Context, operation: Operation) -> io::Result<()> {
        let version = context.version();
        match operation {
            Operation::Load => {
                let steps = STEPS.load(Relaxed);
                writeln!(stdout(), "{GREETING} from version {version}; steps so far: {steps}")?;
                if let Some(failure) = context.failure() {
                    writeln!(stdout(), "The version before this one failed: {failure}.")?;
                }
            }
            Operation::Step => {
                let all = STEPS.fetch_add(1, Relaxed) + 1;
                let own = STEPS_OF_THIS_VERSION.fetch_add(1, Relaxed) + 1;
                if own.is_power_of_two() {
                    writeln!(stdout(), "version {version}: step {own} of its own, {all} of all")?;
                }
            }
            Operation::Unload => writeln!(stdout(), "Version {version} makes room.")?,
            Operation::Close => writeln!(stdout(), "Goodbye.")?,
            Operation::Other(_) => {}
        }
        Ok(())
    }
}
