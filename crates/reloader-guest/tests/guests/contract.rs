//! Does one thing for each number that the tests pass as operation.

use reloader_guest::{Carry, Context, Operation, reload_main, state};
use std::{
    fmt,
    panic::panic_any,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

#[repr(C)]
struct Score {
    points: AtomicU32,
    lives: AtomicU32,
}

// SAFETY: every pattern of bytes is a score.
unsafe impl Carry for Score {}

state! {
    static STEPS: AtomicU32 = AtomicU32::new(0);
    pub static mut SEED: u64 = 1;
    static SCORE: Score = Score { points: AtomicU32::new(5), lives: AtomicU32::new(3) };
    #[cfg(any())]
    static NOT_BUILT: Missing = Missing;
}

#[reloader_guest::attribute::state]
pub(crate) static mut ATTRIBUTED: [u16; 3] = [7; 3];

struct PanicsWhenDropped(u32);

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(PanicsWhenDropped(self.0 - 1));
        }
    }
}

impl fmt::Display for PanicsWhenDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("about to panic")
    }
}

struct PanicsWhenDisplayed;

impl fmt::Display for PanicsWhenDisplayed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words for it")
    }
}

fn run(context: &mut Context, operation: Operation) -> Result<i32, Box<dyn fmt::Display>> {
    Ok(match operation {
        Operation::Load => context.version() as i32,
        Operation::Step => STEPS.fetch_add(1, Relaxed) as i32 + 1,
        Operation::Unload => context.next_version() as i32,
        Operation::Close => context.last_working_version() as i32,
        Operation::Other(100) => panic!("a plain panic"),
        Operation::Other(101) => panic_any(PanicsWhenDropped(3)),
        Operation::Other(102) => return Err(Box::new("an error")),
        Operation::Other(103) => return Err(Box::new(PanicsWhenDisplayed)),
        Operation::Other(104) => return Err(Box::new(PanicsWhenDropped(1))),
        // SAFETY: the host of the tests shares a u32.
        Operation::Other(105) => match unsafe { context.userdata::<u32>() } {
            Some(shared) => {
                *shared += 1;
                *shared as i32
            }
            None => 0,
        },
        Operation::Other(106) => {
            context.set_userdata(std::ptr::without_provenance_mut(0x1000));
            context.userdata_ptr().addr() as i32
        }
        // SAFETY: one thread uses the guest, and nothing in it writes to the variable.
        Operation::Other(107) => unsafe { SEED as i32 },
        Operation::Other(108) => (SCORE.points.load(Relaxed) * SCORE.lives.load(Relaxed)) as i32,
        // SAFETY: as for the seed.
        Operation::Other(109) => unsafe { ATTRIBUTED[2] as i32 },
        Operation::Other(110) => context.failure().map_or(0, |failure| failure.to_string().len() as i32),
        Operation::Other(number) => number,
    })
}

reload_main!(run);
