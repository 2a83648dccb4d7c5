//! Whether a process still runs the program that it ran.

use crate::memory::Memory;
use crate::startup::Startup;
use crate::sys::Process;

/// What tells one start of a program from every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    startup: Startup,
    /// The random bytes that the kernel has given it, of which every start has others.
    random: Option<[u8; 16]>,
}

impl Program {
    /// What a process runs.
    pub(super) fn of(process: &Process) -> Program {
        let startup = process.startup().clone();
        let mut random = [0; 16];
        let read = startup.auxv.random.map(|at| process.read_exact_at(at, &mut random));
        let random = matches!(read, Some(Ok(()))).then_some(random);
        Program { startup, random }
    }

    /// Whether the process, which had run this, runs another program, or the same anew.
    pub(super) fn is_another(&self, now: &Process) -> bool {
        let now = Program::of(now);
        if self.startup != now.startup {
            return true;
        }
        // A program may have wiped them, as those written in Go do.
        let has_wiped = now.random.is_none_or(|random| random == [0; 16]);
        self.random != now.random && !has_wiped
    }
}
