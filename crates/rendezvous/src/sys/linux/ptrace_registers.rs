//! What a breakpoint is on this processor, in a thread that is stopped under `ptrace`.
//!
//! Everything here runs in the keeper: no allocation, no locks, no panics.

#![allow(unsafe_code, reason = "ptrace(2) on the registers of a stopped thread")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use libc::pid_t;

use super::ptrace_message::MOST_PLACES;

/// Bytes of the text where a breakpoint is.
pub(super) type Text = [u8; 8];

/// Where a thread is after the breakpoint in the text has been taken from its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Behind it: all that it would have done is return, or nothing.
    Done,
    /// Still at the instruction, which has to run.
    AtInstruction,
}

/// Why a thread was stopped by a signal.
fn signal_code(thread: pid_t) -> Option<i32> {
    // SAFETY: an all-zero `siginfo_t` is valid, and the kernel writes one of its size into it.
    unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        let done = libc::ptrace(libc::PTRACE_GETSIGINFO as _, thread, 0usize, &raw mut information);
        (done == 0).then_some(information.si_code)
    }
}

#[cfg(target_arch = "x86_64")]
mod processor {
    use super::{MOST_PLACES, Passed, Text, signal_code};
    use libc::pid_t;
    use std::mem::offset_of;

    pub(crate) const TRAP: &[u8] = &[0xcc];
    pub(crate) const IS_TRAP_OF_32_BITS: bool = true;

    /// Sets the debug registers of a stopped thread, each that is not 0.
    pub(crate) fn set_registers(thread: pid_t, addresses: &[u64; MOST_PLACES]) -> Result<(), i32> {
        const CONTROL: usize = 7;
        let place =
            |register: usize| offset_of!(libc::user, u_debugreg) + register * size_of::<u64>();
        let poke = |register: usize, value: u64| {
            // SAFETY: POKEUSER changes a debug register of a stopped thread and nothing here.
            let done =
                unsafe { libc::ptrace(libc::PTRACE_POKEUSER as _, thread, place(register), value) };
            if done == 0 { Ok(()) } else { Err(super::errno()) }
        };
        // SAFETY: PEEKUSER reads a debug register. The wrapper gives what it was; -1 is no address.
        let peek = |register: usize| unsafe {
            libc::ptrace(libc::PTRACE_PEEKUSER as _, thread, place(register), 0usize) as u64
        };
        poke(CONTROL, 0)?;
        let mut control = 0;
        for (register, &address) in addresses.iter().enumerate() {
            // One that was never written is nobody's, and the kernel has only so many to give.
            if peek(register) != address {
                poke(register, address)?;
            }
            if address != 0 {
                // Armed for execution.
                control |= 1 << (2 * register);
            }
        }
        if control != 0 { poke(CONTROL, control) } else { Ok(()) }
    }

    /// Whether a SIGTRAP stopped the thread because of its debug register: nobody else than its
    /// tracer sets one that does that.
    pub(crate) fn is_of_register(thread: pid_t) -> bool {
        const TRAP_HWBKPT: i32 = 4;
        signal_code(thread) == Some(TRAP_HWBKPT)
    }

    /// Whether a thread that a SIGTRAP stopped has run the breakpoint at this address.
    pub(crate) fn is_behind_trap(thread: pid_t, address: u64) -> bool {
        const SI_KERNEL: i32 = 0x80;
        signal_code(thread) == Some(SI_KERNEL)
            && registers(thread).is_some_and(|it| it.rip == address.wrapping_add(1))
    }

    /// Takes a thread that has run the breakpoint past it.
    pub(crate) fn pass(thread: pid_t, address: u64, original: &Text) -> Result<Passed, i32> {
        const NOP: u8 = 0x90;
        const ENDBR: [[u8; 4]; 2] = [[0xf3, 0x0f, 0x1e, 0xfa], [0xf3, 0x0f, 0x1e, 0xfb]];
        /// The code segment of 32-bit programs.
        const USER32: u64 = 0x23;
        let mut registers = registers(thread).ok_or_else(super::errno)?;
        let rest = match original {
            [a, b, c, d, rest @ ..] if ENDBR.contains(&[*a, *b, *c, *d]) => &rest[..],
            all => &all[..],
        };
        let returns = matches!(rest, [0xc3, ..] | [0xf3, 0xc3, ..]);
        if let [NOP, ..] = original {
            registers.rip = address.wrapping_add(1);
            return set(thread, &registers).map(|()| Passed::Done);
        }
        registers.rip = address;
        let mut passed = Passed::AtInstruction;
        // A return that nobody calls for would be one too few on a shadow stack.
        if returns && !has_shadow_stack(thread) {
            // SAFETY: PEEKDATA reads the target; errors show in errno.
            let word = unsafe {
                *libc::__errno_location() = 0;
                libc::ptrace(libc::PTRACE_PEEKDATA as _, thread, registers.rsp, 0usize)
            };
            if word != -1 || super::errno() == 0 {
                let is_32 = registers.cs == USER32;
                let word = word as u64;
                registers.rip = if is_32 { word & 0xffff_ffff } else { word };
                registers.rsp = registers.rsp.wrapping_add(if is_32 { 4 } else { 8 });
                passed = Passed::Done;
            }
        }
        set(thread, &registers).map(|()| passed)
    }

    fn set(thread: pid_t, registers: &libc::user_regs_struct) -> Result<(), i32> {
        let from = std::ptr::from_ref(registers);
        // SAFETY: SETREGS reads a structure of the size that the kernel expects.
        match unsafe { libc::ptrace(libc::PTRACE_SETREGS as _, thread, 0usize, from) } {
            0 => Ok(()),
            _ => Err(super::errno()),
        }
    }

    fn registers(thread: pid_t) -> Option<libc::user_regs_struct> {
        // SAFETY: all-zero registers are valid, and the kernel writes a structure of that size.
        unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            let done = libc::ptrace(libc::PTRACE_GETREGS as _, thread, 0usize, &raw mut registers);
            (done == 0).then_some(registers)
        }
    }

    fn has_shadow_stack(thread: pid_t) -> bool {
        const NT_X86_SHSTK: usize = 0x204;
        let mut pointer = 0u64;
        let mut vector =
            libc::iovec { iov_base: (&raw mut pointer).cast(), iov_len: size_of::<u64>() };
        // SAFETY: the kernel writes at most the vector's length to where it points.
        let done = unsafe {
            libc::ptrace(libc::PTRACE_GETREGSET as _, thread, NT_X86_SHSTK, &raw mut vector)
        };
        done == 0
    }
}

#[cfg(target_arch = "aarch64")]
mod processor {
    use super::{MOST_PLACES, Passed, Text, signal_code};
    use libc::pid_t;

    /// `brk #0`.
    pub(crate) const TRAP: &[u8] = &[0x00, 0x00, 0x20, 0xd4];
    pub(crate) const IS_TRAP_OF_32_BITS: bool = false;

    /// `BTYPE` of the processor's state, which the next instruction checks.
    const BRANCH_TYPE: u64 = 0b11 << 10;

    /// What the instructions under the breakpoint do.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Effect {
        None,
        /// They return to where the link register says, and nothing else.
        Returns,
        Other,
    }

    fn effect(text: &Text) -> Effect {
        /// `bti`, `bti c`, `bti j`, `bti jc`.
        const BTI: [u32; 4] = [0xd503_241f, 0xd503_245f, 0xd503_249f, 0xd503_24df];
        const RET: u32 = 0xd65f_03c0;
        const NOP: u32 = 0xd503_201f;
        let [a, b, c, d, e, f, g, h] = *text;
        let (first, second) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        match first {
            NOP => Effect::None,
            RET => Effect::Returns,
            _ if BTI.contains(&first) && second == RET => Effect::Returns,
            _ => Effect::Other,
        }
    }

    /// The processor's own breakpoints stop before the instruction and would have to be taken away
    /// to run it: the one in the text costs the same.
    pub(crate) fn set_registers(_thread: pid_t, addresses: &[u64; MOST_PLACES]) -> Result<(), i32> {
        if addresses.iter().all(|&it| it == 0) { Ok(()) } else { Err(libc::EOPNOTSUPP) }
    }

    pub(crate) fn is_of_register(_thread: pid_t) -> bool {
        false
    }

    /// Whether a thread that a SIGTRAP stopped is at the breakpoint at this address.
    pub(crate) fn is_behind_trap(thread: pid_t, address: u64) -> bool {
        const TRAP_BRKPT: i32 = 1;
        signal_code(thread) == Some(TRAP_BRKPT)
            && registers(thread).is_some_and(|it| it.pc == address)
    }

    /// Takes a thread that is at the breakpoint past it.
    pub(crate) fn pass(thread: pid_t, address: u64, original: &Text) -> Result<Passed, i32> {
        let mut registers = registers(thread).ok_or_else(super::errno)?;
        let link = registers.regs[30];
        registers.pc = match effect(original) {
            Effect::None => address.wrapping_add(4),
            Effect::Returns if !has_shadow_stack(thread) => link,
            Effect::Returns | Effect::Other => address,
        };
        if registers.pc != address {
            // What kind of branch led to the breakpoint is for the instruction there to judge.
            registers.pstate &= !BRANCH_TYPE;
        }
        let passed = if registers.pc == address { Passed::AtInstruction } else { Passed::Done };
        let mut vector = libc::iovec {
            iov_base: (&raw mut registers).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        // SAFETY: the kernel reads the vector's length from where it points.
        let set = unsafe {
            libc::ptrace(libc::PTRACE_SETREGSET as _, thread, NT_PRSTATUS, &raw mut vector)
        };
        if set == 0 { Ok(passed) } else { Err(super::errno()) }
    }

    fn registers(thread: pid_t) -> Option<libc::user_regs_struct> {
        // SAFETY: all-zero registers are valid, and the kernel writes at most the vector's length.
        unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            let mut vector = libc::iovec {
                iov_base: (&raw mut registers).cast(),
                iov_len: size_of::<libc::user_regs_struct>(),
            };
            let done =
                libc::ptrace(libc::PTRACE_GETREGSET as _, thread, NT_PRSTATUS, &raw mut vector);
            (done == 0).then_some(registers)
        }
    }

    /// Whether the thread's guarded control stack is in use.
    fn has_shadow_stack(thread: pid_t) -> bool {
        const NT_ARM_GCS: usize = 0x410;
        let mut state = [0u64; 3];
        let mut vector =
            libc::iovec { iov_base: state.as_mut_ptr().cast(), iov_len: size_of_val(&state) };
        // SAFETY: the kernel writes at most the vector's length to where it points.
        let done = unsafe {
            libc::ptrace(libc::PTRACE_GETREGSET as _, thread, NT_ARM_GCS, &raw mut vector)
        };
        done == 0 && state[0] & 1 != 0
    }

    const NT_PRSTATUS: usize = 1;

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Bytes of two instructions, as this processor has them.
        fn text(first: u32, second: u32) -> Text {
            let [a, b, c, d] = first.to_le_bytes();
            let [e, f, g, h] = second.to_le_bytes();
            [a, b, c, d, e, f, g, h]
        }

        #[test]
        fn the_breakpoint_is_the_instruction_that_the_assembler_makes_and_what_is_under_it_is_known()
         {
            #[unsafe(naked)]
            extern "C" fn instructions() {
                std::arch::naked_asm!("brk #0", "nop", "ret", "hint #34", "ret", "hint #38", "nop")
            }
            let start = instructions as *const () as *const u32;
            // SAFETY: the function is seven instructions of four bytes each, which can be read.
            let word = |index: usize| unsafe { start.add(index).read() };
            assert_eq!(TRAP, word(0).to_le_bytes());
            for (at, expected) in [
                (0, Effect::Other),
                (1, Effect::None),
                (2, Effect::Returns),
                (3, Effect::Returns),
                (5, Effect::Other),
            ] {
                assert_eq!(effect(&text(word(at), word(at + 1))), expected, "{at}");
            }
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod processor {
    use super::{MOST_PLACES, Passed, Text};
    use libc::pid_t;

    pub(crate) const TRAP: &[u8] = &[];
    pub(crate) const IS_TRAP_OF_32_BITS: bool = false;

    pub(crate) fn set_registers(_thread: pid_t, addresses: &[u64; MOST_PLACES]) -> Result<(), i32> {
        if addresses.iter().all(|&it| it == 0) { Ok(()) } else { Err(libc::EOPNOTSUPP) }
    }

    pub(crate) fn is_of_register(_thread: pid_t) -> bool {
        false
    }

    pub(crate) fn is_behind_trap(_thread: pid_t, _address: u64) -> bool {
        false
    }

    pub(crate) fn pass(_thread: pid_t, _address: u64, _original: &Text) -> Result<Passed, i32> {
        Err(libc::EOPNOTSUPP)
    }
}

pub(super) use processor::{
    IS_TRAP_OF_32_BITS, TRAP, is_behind_trap, is_of_register, pass, set_registers,
};

pub(super) fn errno() -> i32 {
    // SAFETY: the location of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
