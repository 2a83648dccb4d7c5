//! The guard's frame, the interrupted context and the probes on AArch64.
//!
//! The frame, from the stack pointer with which the guest is called:
//!
//! ```text
//!   0  the landing, which begins with FPCR
//!  64  x29 x30
//!  80  x19 to x28
//! 160  the low halves of v8 to v15
//! ```

use core::arch::{asm, global_asm};
use core::ffi::c_void;

use libc::{SIGBUS, SIGSEGV, c_int, ucontext_t};

use super::exception::personality;
use super::handler::handle;
use super::landing::{self, Landing};
use super::thread::{self, Thread};
use crate::{Access, Registers};

global_asm!(
    ".pushsection .text.crash_guard_v0_1,\"ax\",%progbits",
    // End call(argument: x0, number: w1, entry: x2, settings: x3, fault: x4)
    ".globl crash_guard_v0_1_call",
    ".hidden crash_guard_v0_1_call",
    ".type crash_guard_v0_1_call,%function",
    ".p2align 5",
    "crash_guard_v0_1_call:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, DW.ref.crash_guard_v0_1_personality",
    "hint #34", // bti c
    "hint #25", // paciasp
    ".cfi_negate_ra_state",
    "sub sp, sp, #224",
    ".cfi_def_cfa_offset 224",
    "stp x29, x30, [sp, #64]",
    ".cfi_offset x29, -160",
    ".cfi_offset x30, -152",
    "add x29, sp, #64",
    ".cfi_def_cfa x29, 160",
    "stp x19, x20, [sp, #80]",
    ".cfi_offset x19, -144",
    ".cfi_offset x20, -136",
    "stp x21, x22, [sp, #96]",
    ".cfi_offset x21, -128",
    ".cfi_offset x22, -120",
    "stp x23, x24, [sp, #112]",
    ".cfi_offset x23, -112",
    ".cfi_offset x24, -104",
    "stp x25, x26, [sp, #128]",
    ".cfi_offset x25, -96",
    ".cfi_offset x26, -88",
    "stp x27, x28, [sp, #144]",
    ".cfi_offset x27, -80",
    ".cfi_offset x28, -72",
    "stp d8, d9, [sp, #160]",
    ".cfi_offset d8, -64",
    ".cfi_offset d9, -56",
    "stp d10, d11, [sp, #176]",
    ".cfi_offset d10, -48",
    ".cfi_offset d11, -40",
    "stp d12, d13, [sp, #192]",
    ".cfi_offset d12, -32",
    ".cfi_offset d13, -24",
    "stp d14, d15, [sp, #208]",
    ".cfi_offset d14, -16",
    ".cfi_offset d15, -8",
    "mrs x9, fpcr",
    "str x9, [sp]",
    "adrp x19, :gottprel:crash_guard_v0_1_thread",
    "ldr x19, [x19, :gottprel_lo12:crash_guard_v0_1_thread]",
    "mrs x9, tpidr_el0",
    "add x19, x19, x9",
    "stp x3, x4, [sp, #{settings}]", // the fault's place is beside
    // Open landings lie above this one, and so does the end of the chain. Else the thread is
    // new, or landings were cut off.
    "ldr x21, [x19, #{innermost}]",
    "add x10, sp, #{landing}",
    "cmp x21, x10",
    "b.lo 4f",
    "1:",
    "mov x11, sp",
    "str x21, [sp, #{outer}]",
    "ldr x9, [x19, #{key}]",
    "eor x9, x9, x11",
    "str x9, [sp, #{canary}]",
    "ldr x9, [x19, #{thread_errno}]",
    "ldr w9, [x9]",
    "ldr w20, [x19, #{thread_depth}]",
    "add w10, w20, #1",
    "stp w10, w9, [sp, #{depth}]", // errno is beside
    "str w10, [x19, #{thread_depth}]",
    "and w10, w10, #{recent_mask}",
    "add x9, x19, #{recently}",
    "str x11, [x9, x10, lsl #3]",
    "str x11, [x19, #{innermost}]", // the landing is open
    "blr x2",
    "mov x1, #0",
    // The one way out: x19 is the thread, x21 the next landing out, w20 the depth there.
    "2:",
    "str x21, [x19, #{innermost}]", // the landing is closed
    "str w20, [x19, #{thread_depth}]",
    "ldp d14, d15, [sp, #208]",
    "ldp d12, d13, [sp, #192]",
    "ldp d10, d11, [sp, #176]",
    "ldp d8, d9, [sp, #160]",
    "ldp x27, x28, [sp, #144]",
    "ldp x25, x26, [sp, #128]",
    "ldp x23, x24, [sp, #112]",
    "ldp x21, x22, [sp, #96]",
    "ldp x19, x20, [sp, #80]",
    "ldp x29, x30, [sp, #64]",
    "add sp, sp, #224",
    ".cfi_remember_state",
    ".cfi_def_cfa sp, 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "hint #29", // autiasp
    ".cfi_negate_ra_state",
    "ret",
    ".cfi_restore_state",
    // A chain that needs care: the callee preserves where the arguments are put.
    "4:",
    "mov x20, x0",
    "mov x22, x1",
    "mov x23, x2",
    "mov x0, x19",
    "mov x1, sp",
    "bl {prepared}",
    "mov x21, x0",
    "mov x0, x20",
    "mov x1, x22",
    "mov x2, x23",
    "b 1b",
    // A fault: the kernel resumes the thread here with sp at the landing.
    ".globl crash_guard_v0_1_land_fault",
    ".hidden crash_guard_v0_1_land_fault",
    "crash_guard_v0_1_land_fault:",
    "hint #36", // bti j
    "add x29, sp, #64",
    "mov w1, #{faulted}",
    "b 6f",
    // An exception: the personality has put the exception object into x0.
    ".globl crash_guard_v0_1_land_exception",
    ".hidden crash_guard_v0_1_land_exception",
    "crash_guard_v0_1_land_exception:",
    "hint #36", // bti j
    "ldr x9, [sp, #{fault}]",
    "str x0, [x9]",
    "mov w1, #{threw}",
    // What the caller had: floating-point control, errno, and what is needed on the way out.
    "6:",
    "ldr x9, [sp]",
    "msr fpcr, x9",
    "adrp x19, :gottprel:crash_guard_v0_1_thread",
    "ldr x19, [x19, :gottprel_lo12:crash_guard_v0_1_thread]",
    "mrs x9, tpidr_el0",
    "add x19, x19, x9",
    "ldr x9, [x19, #{thread_errno}]",
    "ldr w10, [sp, #{errno}]",
    "str w10, [x9]",
    "ldr x21, [sp, #{outer}]",
    "ldr w20, [sp, #{depth}]",
    "sub w20, w20, #1",
    "b 2b",
    ".cfi_endproc",
    ".size crash_guard_v0_1_call, . - crash_guard_v0_1_call",
    // bool load(source: x0, into: x1), true if the source could be read
    ".globl crash_guard_v0_1_load",
    ".hidden crash_guard_v0_1_load",
    ".type crash_guard_v0_1_load,%function",
    ".p2align 4",
    "crash_guard_v0_1_load:",
    ".cfi_startproc",
    "hint #34", // bti c
    ".globl crash_guard_v0_1_load_at",
    ".hidden crash_guard_v0_1_load_at",
    "crash_guard_v0_1_load_at:",
    "ldr x9, [x0]",
    "str x9, [x1]",
    "mov w0, #1",
    "ret",
    ".globl crash_guard_v0_1_load_failed",
    ".hidden crash_guard_v0_1_load_failed",
    "crash_guard_v0_1_load_failed:",
    "mov w0, #0",
    "ret",
    ".cfi_endproc",
    ".size crash_guard_v0_1_load, . - crash_guard_v0_1_load",
    // usize copy(to: x0, from: x1, length: x2), the bytes left over
    ".globl crash_guard_v0_1_copy",
    ".hidden crash_guard_v0_1_copy",
    ".type crash_guard_v0_1_copy,%function",
    ".p2align 4",
    "crash_guard_v0_1_copy:",
    ".cfi_startproc",
    "hint #34", // bti c
    "cbz x2, crash_guard_v0_1_copy_stopped",
    ".globl crash_guard_v0_1_copy_at",
    ".hidden crash_guard_v0_1_copy_at",
    "crash_guard_v0_1_copy_at:",
    "5:",
    "ldrb w9, [x1]",
    "strb w9, [x0]",
    "add x1, x1, #1",
    "add x0, x0, #1",
    "subs x2, x2, #1",
    "b.ne 5b",
    ".globl crash_guard_v0_1_copy_stopped",
    ".hidden crash_guard_v0_1_copy_stopped",
    "crash_guard_v0_1_copy_stopped:",
    "mov x0, x2",
    "ret",
    ".cfi_endproc",
    ".size crash_guard_v0_1_copy, . - crash_guard_v0_1_copy",
    ".popsection",
    // The unwinder finds the personality through this word, as compilers do it.
    ".hidden DW.ref.crash_guard_v0_1_personality",
    ".weak DW.ref.crash_guard_v0_1_personality",
    ".pushsection .data.DW.ref.crash_guard_v0_1_personality,\"awG\",%progbits,DW.ref.crash_guard_v0_1_personality,comdat",
    ".p2align 3",
    ".type DW.ref.crash_guard_v0_1_personality,%object",
    ".size DW.ref.crash_guard_v0_1_personality, 8",
    "DW.ref.crash_guard_v0_1_personality:",
    ".xword {personality}",
    ".popsection",
    // Thread-local storage of the initial-exec model: reaching it calls nothing.
    ".pushsection .tbss.crash_guard_v0_1,\"awT\",%nobits",
    ".p2align 4",
    ".globl crash_guard_v0_1_thread",
    ".hidden crash_guard_v0_1_thread",
    ".type crash_guard_v0_1_thread,%object",
    ".size crash_guard_v0_1_thread, {thread_size}",
    "crash_guard_v0_1_thread:",
    ".zero {thread_size}",
    ".popsection",
    personality = sym personality,
    thread_size = const size_of::<Thread>(),
    prepared = sym landing::prepared,
    landing = const size_of::<Landing>(),
    outer = const landing::OUTER,
    canary = const landing::CANARY,
    settings = const landing::SETTINGS,
    fault = const landing::FAULT,
    depth = const landing::DEPTH,
    errno = const landing::ERRNO,
    innermost = const thread::INNERMOST,
    thread_depth = const thread::DEPTH,
    key = const thread::KEY,
    thread_errno = const thread::ERRNO,
    recently = const thread::RECENTLY,
    recent_mask = const thread::RECENT - 1,
    faulted = const landing::FAULTED,
    threw = const landing::THREW,
);

/// What the kernel is told to call.
pub(super) fn handler() -> usize {
    handle as *const () as usize
}

/// The calling thread's block. It never moves while the thread lives.
#[inline(always)]
pub(super) fn thread() -> *mut Thread {
    let thread: *mut Thread;
    // SAFETY: reads the thread pointer and the block's offset from it, which the loader has set
    // before any code of this module runs; nothing is written.
    unsafe {
        asm!(
            "adrp {thread}, :gottprel:crash_guard_v0_1_thread",
            "ldr {thread}, [{thread}, :gottprel_lo12:crash_guard_v0_1_thread]",
            "mrs {base}, tpidr_el0",
            "add {thread}, {thread}, {base}",
            thread = out(reg) thread,
            base = out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    thread
}

/// The registers of the interrupted code, as the kernel will restore them.
#[derive(Clone, Copy)]
pub(super) struct Context(*mut ucontext_t);

impl Context {
    /// # Safety
    ///
    /// `context` must be the third argument of a signal handler that has not returned.
    pub(super) unsafe fn new(context: *mut c_void) -> Self {
        Self(context.cast())
    }

    fn general(self, register: usize) -> usize {
        // SAFETY: `new` promises a live context, and the numbers used here are below 31.
        unsafe { (&raw const (*self.0).uc_mcontext.regs[register]).read() as usize }
    }

    pub(super) fn pc(self) -> usize {
        // SAFETY: `new` promises a live context.
        unsafe { (*self.0).uc_mcontext.pc as usize }
    }

    pub(super) fn sp(self) -> usize {
        // SAFETY: `new` promises a live context.
        unsafe { (*self.0).uc_mcontext.sp as usize }
    }

    pub(super) fn fp(self) -> usize {
        self.general(FRAME_POINTER)
    }

    pub(super) fn set_pc(self, pc: usize) {
        // SAFETY: `new` promises a live context; the kernel reads it only after the handler.
        unsafe { (*self.0).uc_mcontext.pc = pc as u64 };
    }

    /// Makes the kernel go on at `pc` as at the start of a function.
    pub(super) fn resume_at(self, pc: usize, sp: usize) {
        self.set_pc(pc);
        // SAFETY: `new` promises a live context; the kernel reads it only after the handler.
        unsafe {
            (*self.0).uc_mcontext.sp = sp as u64;
            (*self.0).uc_mcontext.pstate &= !(BRANCH_TYPE | SINGLE_STEP);
        }
    }

    /// The first 64 signals of the mask, which is all the kernel keeps.
    pub(super) fn mask(self) -> u64 {
        // SAFETY: the kernel's 8-byte mask is the start of the C library's larger one.
        unsafe { (&raw const (*self.0).uc_sigmask).cast::<u64>().read() }
    }

    pub(super) fn set_mask(self, mask: u64) {
        // SAFETY: as in `mask`; the kernel takes it over when the handler returns.
        unsafe { (&raw mut (*self.0).uc_sigmask).cast::<u64>().write(mask) };
    }

    /// What was tried, from the exception syndrome, which the kernel puts among the records
    /// after the registers. An emulator may leave it out; a jump into nowhere shows itself
    /// all the same.
    pub(super) fn access(self, signal: c_int) -> Access {
        if signal != SIGSEGV && signal != SIGBUS {
            return Access::Unknown;
        }
        // SAFETY: `new` promises a live context; the records are aligned, each begins with its
        // magic number and size, and the list the kernel wrote ends with a zero magic number
        // within the 4096 bytes reserved for it.
        unsafe {
            let records = (&raw const (*self.0).uc_mcontext).cast::<u8>().add(RECORDS);
            let mut offset = 0;
            while offset + 16 <= RECORDS_LENGTH {
                let record = records.add(offset);
                let magic = record.cast::<u32>().read();
                let size = record.add(4).cast::<u32>().read() as usize;
                if magic == 0 || size == 0 {
                    break;
                }
                if magic == SYNDROME_MAGIC {
                    let syndrome = record.add(8).cast::<u64>().read();
                    return match (syndrome >> 26) & 0x3f {
                        0x20 | 0x21 => Access::Execute,
                        0x24 | 0x25 if syndrome & WROTE != 0 => Access::Write,
                        0x24 | 0x25 => Access::Read,
                        _ => Access::Unknown,
                    };
                }
                offset += size;
            }
            if (*self.0).uc_mcontext.fault_address == (*self.0).uc_mcontext.pc {
                return Access::Execute;
            }
        }
        Access::Unknown
    }

    pub(super) fn registers(self) -> Registers {
        let mut values = [0u64; 34];
        for (register, value) in values.iter_mut().enumerate().take(31) {
            *value = self.general(register) as u64;
        }
        values[31] = self.sp() as u64;
        values[32] = self.pc() as u64;
        // SAFETY: `new` promises a live context.
        values[33] = unsafe { (*self.0).uc_mcontext.pstate };
        Registers::new(&values)
    }

    /// The link register, where a call leaves its return address; without one it is on the stack.
    pub(super) fn link(self) -> Option<usize> {
        Some(self.general(LINK))
    }
}

/// A return address without the signature that pointer authentication may have put into it.
pub(super) fn plain_address(address: usize) -> usize {
    let plain;
    // SAFETY: only the link register changes, and it is declared; without pointer
    // authentication the instruction does nothing.
    unsafe {
        asm!(
            "mov x30, {address}",
            "hint #7", // xpaclri
            "mov {plain}, x30",
            address = in(reg) address,
            plain = lateout(reg) plain,
            out("x30") _,
            options(pure, nomem, nostack),
        );
    }
    plain
}

/// Whether the eight bytes before a return address can end in a call instruction.
pub(super) fn ends_in_call(code: [u8; 8]) -> bool {
    let instruction = u32::from_le_bytes([code[4], code[5], code[6], code[7]]);
    let bl = instruction >> 26 == 0b10_0101;
    let blr = instruction & 0xffff_fc1f == 0xd63f_0000;
    let blr_authenticated = instruction & 0xfeff_f800 == 0xd63f_0800;
    bl || blr || blr_authenticated
}

pub(crate) const REGISTER_NAMES: &[&str] = &[
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30", "sp", "pc", "pstate",
];

/// The register in which the landing for exceptions expects the exception, by DWARF number.
pub(super) const EXCEPTION_REGISTER: c_int = 0;

const FRAME_POINTER: usize = 29;
const LINK: usize = 30;
/// BTYPE would make the landing itself a forbidden branch target.
const BRANCH_TYPE: u64 = 3 << 10;
const SINGLE_STEP: u64 = 1 << 21;
/// The records follow 35 words, aligned to 16 bytes.
const RECORDS: usize = 288;
const RECORDS_LENGTH: usize = 4096;
const SYNDROME_MAGIC: u32 = 0x4553_5201;
const WROTE: u64 = 1 << 6;
