//! Return addresses of the interrupted thread. Called in the handler: every word that is not
//! known to be mapped is probed before it is read.

use core::ops::Range;

use super::arch::{self, Context};
use super::probe;
use super::thread::Thread;
use crate::{Access, Fault, FaultKind};

/// Fills in the return addresses between the fault and the landing.
pub(super) fn fill(
    fault: &mut Fault,
    interrupted: Context,
    landing: usize,
    code: &Range<usize>,
    thread: &Thread,
) {
    let mut stack = Stack::new(fault, landing, thread);
    // The frames of a coroutine's own stack lie nowhere near the landing.
    let same_stack = thread.owns(fault.sp) && thread.owns(landing);
    let end = if same_stack { landing } else { usize::MAX };
    let first = if fault.access == Access::Execute {
        // Nothing was executed at pc: whoever called it is where a call leaves that.
        interrupted.link().or_else(|| stack.word(fault.sp))
    } else {
        interrupted.link()
    };
    if let Some(address) = first {
        fault.return_addresses.push(arch::plain_address(address));
    }
    follow_frame_pointers(fault, &mut stack, end);
    let seen = code.contains(&fault.pc)
        || fault.return_addresses.iter().any(|address| code.contains(address));
    if !code.is_empty() && !seen {
        search(fault, &mut stack, end, code);
    }
}

fn follow_frame_pointers(fault: &mut Fault, stack: &mut Stack, end: usize) {
    let mut frame = fault.fp;
    let mut above = fault.sp;
    while frame >= above && frame.is_multiple_of(WORD) && frame <= end - 2 * WORD {
        let (Some(outer), Some(address)) = (stack.word(frame), stack.word(frame + WORD)) else {
            return;
        };
        let address = arch::plain_address(address);
        // The link register often repeats what the first frame saved.
        let repeated = above == fault.sp && fault.return_addresses.last() == Some(&address);
        if !repeated && !fault.return_addresses.push(address) {
            return;
        }
        above = frame + 2 * WORD;
        frame = outer;
    }
}

/// Finds words on the stack that are addresses in the guest's code, just after a call.
fn search(fault: &mut Fault, stack: &mut Stack, end: usize, code: &Range<usize>) {
    let start = fault.sp.next_multiple_of(WORD);
    let end = end.min(start.saturating_add(SEARCHED));
    let mut position = start;
    while position < end {
        let Some(address) = stack.word(position).map(arch::plain_address) else { return };
        if code.contains(&address)
            && follows_call(address, code)
            && !fault.return_addresses.push(address)
        {
            return;
        }
        position += WORD;
    }
}

fn follows_call(address: usize, code: &Range<usize>) -> bool {
    let Some(start) = address.checked_sub(CALL) else { return false };
    if start < code.start
        || !probe::is_readable_in_handler(start)
        || !probe::is_readable_in_handler(address - 1)
    {
        return false;
    }
    // SAFETY: both ends have just been found readable, and eight bytes have no page between.
    arch::ends_in_call(unsafe { (start as *const [u8; CALL]).read_unaligned() })
}

/// Reads words of the stack that was interrupted.
struct Stack {
    /// Where the thread's own stack is known to be mapped.
    mapped: Range<usize>,
    /// The page last probed.
    probed: usize,
}

impl Stack {
    fn new(fault: &Fault, landing: usize, thread: &Thread) -> Self {
        let sp = fault.sp;
        let known = sp >= thread.stack_low
            && landing <= thread.stack_high
            && fault.kind != FaultKind::StackOverflow;
        Self { mapped: if known { sp..landing } else { 0..0 }, probed: 0 }
    }

    fn word(&mut self, address: usize) -> Option<usize> {
        if !address.is_multiple_of(WORD) {
            return None;
        }
        if !self.mapped.contains(&address) && address / PAGE != self.probed {
            if !probe::is_readable_in_handler(address) {
                return None;
            }
            self.probed = address / PAGE;
        }
        // SAFETY: an aligned word lies in one page, and that page is mapped: it is on the
        // interrupted stack between its pointer and the landing, or was found readable.
        Some(unsafe { (address as *const usize).read_volatile() })
    }
}

const WORD: usize = size_of::<usize>();
const PAGE: usize = 4096;
/// The bytes looked at for a call instruction.
const CALL: usize = 8;
/// How much of the stack is searched.
const SEARCHED: usize = 16 * 1024;
