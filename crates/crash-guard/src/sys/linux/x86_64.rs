//! The guard's frame, the interrupted context and the probes on x86_64.
//!
//! The frame, from the stack pointer with which the guest is called:
//!
//! ```text
//!  0  the landing, which begins with MXCSR (4 bytes), the x87 control word (2), and at 8 the
//!     shadow stack pointer, 0 without a shadow stack
//! 56  r15 r14 r13 r12 rbx rbp, then the return address
//! ```

use core::arch::{asm, global_asm};
use core::ffi::c_void;

use libc::{SIGBUS, SIGSEGV, c_int, siginfo_t, ucontext_t};

use super::exception::personality;
use super::handler::handle;
use super::landing::{self, Landing};
use super::thread::{self, Thread};
use crate::{Access, Registers};

global_asm!(
    ".pushsection .text.crash_guard_v0_1,\"ax\",@progbits",
    // End call(argument: rdi, number: esi, entry: rdx, settings: rcx, fault: r8)
    ".globl crash_guard_v0_1_call",
    ".hidden crash_guard_v0_1_call",
    ".type crash_guard_v0_1_call,@function",
    ".p2align 5",
    "crash_guard_v0_1_call:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, DW.ref.crash_guard_v0_1_personality",
    "endbr64",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "push r12",
    ".cfi_offset r12, -32",
    "push r13",
    ".cfi_offset r13, -40",
    "push r14",
    ".cfi_offset r14, -48",
    "push r15",
    ".cfi_offset r15, -56",
    "sub rsp, {landing}",
    "stmxcsr [rsp]",
    "fnstcw [rsp + 4]",
    "xor eax, eax",
    "rdsspq rax", // does nothing where there is no shadow stack
    "mov [rsp + 8], rax",
    "mov rbx, qword ptr [rip + crash_guard_v0_1_thread@GOTTPOFF]",
    "add rbx, qword ptr fs:[0]",
    "mov [rsp + {settings}], rcx",
    "mov [rsp + {fault}], r8",
    // Open landings lie above this one, and so does the end of the chain. Else the thread is
    // new, or landings were cut off.
    "mov r13, [rbx + {innermost}]",
    "lea rax, [rsp + {landing}]",
    "cmp r13, rax",
    "jb 5f",
    "1:",
    "mov [rsp + {outer}], r13",
    "mov rax, [rbx + {key}]",
    "xor rax, rsp",
    "mov [rsp + {canary}], rax",
    "mov rax, [rbx + {thread_errno}]",
    "mov eax, [rax]",
    "mov [rsp + {errno}], eax",
    "mov r12d, [rbx + {thread_depth}]",
    "lea eax, [r12 + 1]",
    "mov [rsp + {depth}], eax",
    "mov [rbx + {thread_depth}], eax",
    "and eax, {recent_mask}",
    "mov [rbx + 8*rax + {recently}], rsp",
    "mov [rbx + {innermost}], rsp", // the landing is open
    "call rdx",
    "xor edx, edx",
    // The one way out: rbx is the thread, r13 the next landing out, r12d the depth there.
    "2:",
    "mov [rbx + {innermost}], r13", // the landing is closed
    "mov [rbx + {thread_depth}], r12d",
    "add rsp, {landing}",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    ".cfi_remember_state",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_restore_state",
    // A chain that needs care: the callee preserves where the arguments are put.
    "5:",
    "mov r12, rdi",
    "mov r14, rsi",
    "mov r15, rdx",
    "mov rdi, rbx",
    "mov rsi, rsp",
    "call {prepared}",
    "mov r13, rax",
    "mov rdi, r12",
    "mov rsi, r14",
    "mov rdx, r15",
    "jmp 1b",
    // A fault: the kernel resumes the thread here with rsp at the landing.
    ".globl crash_guard_v0_1_land_fault",
    ".hidden crash_guard_v0_1_land_fault",
    "crash_guard_v0_1_land_fault:",
    "endbr64",
    "lea rbp, [rsp + {landing} + 40]",
    // The shadow stack still stands at the fault's depth: pop it, at most 255 entries at a time.
    "mov rcx, [rsp + 8]",
    "test rcx, rcx",
    "jz 4f",
    "xor eax, eax",
    "rdsspq rax",
    "sub rcx, rax",
    "jbe 4f",
    "shr rcx, 3",
    "3:",
    "mov eax, 255",
    "cmp rcx, rax",
    "cmovb rax, rcx",
    "incsspq rax",
    "sub rcx, rax",
    "jnz 3b",
    "4:",
    "mov edx, {faulted}",
    "jmp 6f",
    // An exception: the personality has put the exception object into rax; the unwinder has
    // restored the callee-saved registers and popped the shadow stack.
    ".globl crash_guard_v0_1_land_exception",
    ".hidden crash_guard_v0_1_land_exception",
    "crash_guard_v0_1_land_exception:",
    "endbr64",
    "mov rcx, [rsp + {fault}]",
    "mov [rcx], rax",
    "mov edx, {threw}",
    // What the caller had: floating-point control, errno, and what is needed on the way out.
    "6:",
    "fninit",
    "ldmxcsr [rsp]",
    "fldcw [rsp + 4]",
    "mov rbx, qword ptr [rip + crash_guard_v0_1_thread@GOTTPOFF]",
    "add rbx, qword ptr fs:[0]",
    "mov rcx, [rbx + {thread_errno}]",
    "mov eax, [rsp + {errno}]",
    "mov [rcx], eax",
    "mov r13, [rsp + {outer}]",
    "mov r12d, [rsp + {depth}]",
    "dec r12d",
    "jmp 2b",
    ".cfi_endproc",
    ".size crash_guard_v0_1_call, . - crash_guard_v0_1_call",
    // bool load(source: rdi, into: rsi), true if the source could be read
    ".globl crash_guard_v0_1_load",
    ".hidden crash_guard_v0_1_load",
    ".type crash_guard_v0_1_load,@function",
    ".p2align 4",
    "crash_guard_v0_1_load:",
    ".cfi_startproc",
    "endbr64",
    ".globl crash_guard_v0_1_load_at",
    ".hidden crash_guard_v0_1_load_at",
    "crash_guard_v0_1_load_at:",
    "mov rax, [rdi]",
    "mov [rsi], rax",
    "mov eax, 1",
    "ret",
    ".globl crash_guard_v0_1_load_failed",
    ".hidden crash_guard_v0_1_load_failed",
    "crash_guard_v0_1_load_failed:",
    "endbr64",
    "xor eax, eax",
    "ret",
    ".cfi_endproc",
    ".size crash_guard_v0_1_load, . - crash_guard_v0_1_load",
    // usize copy(to: rdi, from: rsi, length: rdx), the bytes left over
    ".globl crash_guard_v0_1_copy",
    ".hidden crash_guard_v0_1_copy",
    ".type crash_guard_v0_1_copy,@function",
    ".p2align 4",
    "crash_guard_v0_1_copy:",
    ".cfi_startproc",
    "endbr64",
    "mov rcx, rdx",
    ".globl crash_guard_v0_1_copy_at",
    ".hidden crash_guard_v0_1_copy_at",
    "crash_guard_v0_1_copy_at:",
    "rep movsb",
    ".globl crash_guard_v0_1_copy_stopped",
    ".hidden crash_guard_v0_1_copy_stopped",
    "crash_guard_v0_1_copy_stopped:",
    "mov rax, rcx",
    "ret",
    ".cfi_endproc",
    ".size crash_guard_v0_1_copy, . - crash_guard_v0_1_copy",
    // The kernel calls handlers with the interrupted alignment check, which compiled code does
    // not stand.
    ".globl crash_guard_v0_1_handle",
    ".hidden crash_guard_v0_1_handle",
    ".type crash_guard_v0_1_handle,@function",
    ".p2align 4",
    "crash_guard_v0_1_handle:",
    ".cfi_startproc",
    "endbr64",
    "pushfq",
    ".cfi_def_cfa_offset 16",
    "and dword ptr [rsp], {no_alignment_check}",
    "popfq",
    ".cfi_def_cfa_offset 8",
    "jmp {handle}",
    ".cfi_endproc",
    ".size crash_guard_v0_1_handle, . - crash_guard_v0_1_handle",
    ".popsection",
    // The unwinder finds the personality through this word, as compilers do it.
    ".hidden DW.ref.crash_guard_v0_1_personality",
    ".weak DW.ref.crash_guard_v0_1_personality",
    ".pushsection .data.DW.ref.crash_guard_v0_1_personality,\"awG\",@progbits,DW.ref.crash_guard_v0_1_personality,comdat",
    ".p2align 3",
    ".type DW.ref.crash_guard_v0_1_personality,@object",
    ".size DW.ref.crash_guard_v0_1_personality, 8",
    "DW.ref.crash_guard_v0_1_personality:",
    ".quad {personality}",
    ".popsection",
    // Thread-local storage of the initial-exec model: reaching it calls nothing.
    ".pushsection .tbss.crash_guard_v0_1,\"awT\",@nobits",
    ".p2align 4",
    ".globl crash_guard_v0_1_thread",
    ".hidden crash_guard_v0_1_thread",
    ".type crash_guard_v0_1_thread,@object",
    ".size crash_guard_v0_1_thread, {thread_size}",
    "crash_guard_v0_1_thread:",
    ".zero {thread_size}",
    ".popsection",
    handle = sym handle,
    no_alignment_check = const !(ALIGNMENT_CHECK as i32),
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

unsafe extern "C" {
    fn crash_guard_v0_1_handle(signal: c_int, information: *mut siginfo_t, context: *mut c_void);
}

/// What the kernel is told to call.
pub(super) fn handler() -> usize {
    crash_guard_v0_1_handle as *const () as usize
}

/// The calling thread's block. It never moves while the thread lives.
#[inline(always)]
pub(super) fn thread() -> *mut Thread {
    let thread: *mut Thread;
    // SAFETY: reads the thread pointer and the block's offset from it, which the loader has set
    // before any code of this module runs; nothing is written.
    unsafe {
        asm!(
            "mov {thread}, qword ptr [rip + crash_guard_v0_1_thread@GOTTPOFF]",
            "add {thread}, qword ptr fs:[0]",
            thread = out(reg) thread,
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

    fn register(self, register: c_int) -> usize {
        // SAFETY: `new` promises a live context, and the indices used here are the array's own.
        unsafe { (&raw const (*self.0).uc_mcontext.gregs[register as usize]).read() as usize }
    }

    fn set_register(self, register: c_int, value: usize) {
        // SAFETY: `new` promises a live context; the kernel reads it only after the handler.
        unsafe { (&raw mut (*self.0).uc_mcontext.gregs[register as usize]).write(value as i64) };
    }

    pub(super) fn pc(self) -> usize {
        self.register(libc::REG_RIP)
    }

    pub(super) fn sp(self) -> usize {
        self.register(libc::REG_RSP)
    }

    pub(super) fn fp(self) -> usize {
        self.register(libc::REG_RBP)
    }

    pub(super) fn set_pc(self, pc: usize) {
        self.set_register(libc::REG_RIP, pc);
    }

    /// Makes the kernel go on at `pc` as at the start of a function.
    pub(super) fn resume_at(self, pc: usize, sp: usize) {
        self.set_register(libc::REG_RIP, pc);
        self.set_register(libc::REG_RSP, sp);
        let flags = self.register(libc::REG_EFL);
        self.set_register(libc::REG_EFL, flags & !(DIRECTION | TRAP | RESUME | ALIGNMENT_CHECK));
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

    pub(super) fn access(self, signal: c_int) -> Access {
        let page_fault = self.register(libc::REG_TRAPNO) == PAGE_FAULT;
        if !page_fault || (signal != SIGSEGV && signal != SIGBUS) {
            return Access::Unknown;
        }
        match self.register(libc::REG_ERR) {
            error if error & FETCHED != 0 => Access::Execute,
            error if error & WROTE != 0 => Access::Write,
            _ => Access::Read,
        }
    }

    pub(super) fn registers(self) -> Registers {
        // SAFETY: `new` promises a live context; 64-bit values of either sign are alike.
        let values = unsafe { &*(&raw const (*self.0).uc_mcontext.gregs).cast::<[u64; 23]>() };
        Registers::new(values)
    }

    /// The link register, where a call leaves its return address; without one it is on the stack.
    pub(super) fn link(self) -> Option<usize> {
        None
    }
}

/// A return address as the address it is.
pub(super) fn plain_address(address: usize) -> usize {
    address
}

/// Whether the eight bytes before a return address can end in a call instruction.
pub(super) fn ends_in_call(code: [u8; 8]) -> bool {
    if code[3] == 0xe8 {
        return true; // call rel32
    }
    // call r/m64 is FF /2 with 2, 3, 4, 6 or 7 bytes; its ModRM decides which.
    [2usize, 3, 4, 6, 7].into_iter().any(|length| {
        let (opcode, modrm) = (code[8 - length], code[9 - length]);
        let (mode, register) = (modrm >> 6, modrm & 7);
        let displacement = match mode {
            0 if register == 5 => 4,
            0 | 3 => 0,
            1 => 1,
            _ => 4,
        };
        let scaled = usize::from(mode != 3 && register == 4);
        opcode == 0xff && (modrm >> 3) & 7 == 2 && length == 2 + scaled + displacement
    })
}

pub(crate) const REGISTER_NAMES: &[&str] = &[
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax",
    "rcx", "rsp", "rip", "eflags", "csgsfs", "err", "trapno", "oldmask", "cr2",
];

/// The register in which the landing for exceptions expects the exception, by DWARF number.
pub(super) const EXCEPTION_REGISTER: c_int = 0;

const DIRECTION: usize = 1 << 10;
const TRAP: usize = 1 << 8;
const RESUME: usize = 1 << 16;
const ALIGNMENT_CHECK: usize = 1 << 18;
const PAGE_FAULT: usize = 14;
const WROTE: usize = 1 << 1;
const FETCHED: usize = 1 << 4;
