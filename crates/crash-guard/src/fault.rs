use core::fmt;

/// What a guard caught.
///
/// It is plain data and holds everything inline, so that nothing is allocated between the fault
/// and the caller: the guest may have died holding the allocator's lock. Names and lines are
/// looked up later and on request, with the feature `symbolize`.
///
/// # Safety of its contents
///
/// Every address here is a number from the faulted code. None of them need be readable; use
/// [`probe`](crate::probe) to look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// The signal's number; 0 for exceptions and foreign panics.
    pub signal: i32,
    /// The signal's `si_code`. For a deadline that could not be armed, the negated `errno` of
    /// the call that failed; the guarded code has not run then.
    pub code: i32,
    /// The address the access was made to, where the processor tells. For [`FaultKind::SystemCall`]
    /// the instruction that made the call, for an exception the exception object.
    pub address: Option<usize>,
    /// What was tried at `address`.
    pub access: Access,
    /// The program counter at the fault; 0 for exceptions. After a breakpoint it is on x86_64 the
    /// instruction that follows.
    pub pc: usize,
    /// The stack pointer at the fault; 0 for exceptions.
    pub sp: usize,
    /// The frame pointer register at the fault; 0 for exceptions.
    pub fp: usize,
    /// The general registers at the fault; none for exceptions.
    pub registers: Registers,
    /// Where the frames above `pc`, or above the throw of an exception, return to.
    pub return_addresses: ReturnAddresses,
    /// The operating system's number of the thread that faulted.
    pub thread: u32,
    /// How many guards and barriers were open on the thread, the one that caught this included.
    pub depth: u32,
    /// Which of the process's shared locks the abandoned code may still hold.
    pub taint: Taint,
    /// The exception, for the three kinds that are one.
    pub exception: Option<Exception>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.description())?;
        if let Some(exception) = &self.exception {
            if !exception.type_name().is_empty() {
                write!(f, " of type {}", exception.type_name())?;
            }
        } else {
            match (self.access, self.address) {
                (Access::Unknown, Some(address)) => write!(f, " at {address:#x}")?,
                (access, Some(address)) => write!(f, ", {access} at {address:#x}")?,
                (_, None) => {}
            }
            match self.signal_name() {
                Some(name) => write!(f, " ({name}, code {})", self.code)?,
                None => write!(f, " (signal {}, code {})", self.signal, self.code)?,
            }
            write!(f, ", pc {:#x}", self.pc)?;
        }
        write!(f, ", thread {}", self.thread)
    }
}

impl core::error::Error for Fault {}

impl Fault {
    /// The signal's usual name, or nothing for an exception or a signal without one.
    #[must_use]
    pub fn signal_name(&self) -> Option<&'static str> {
        crate::sys::signal_name(self.signal)
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Memory was accessed that is not mapped, or not for this access.
    Access,
    /// A general protection fault, of which the processor tells no address: nearly always an
    /// address that is not canonical, else a misaligned vector access or a privileged
    /// instruction. x86_64 only.
    NonCanonical,
    /// The stack ran out, whosever stack it was.
    StackOverflow,
    /// Memory is mapped and has nothing behind it: a file that was truncated, a hardware error,
    /// or an access that must be aligned.
    Bus,
    /// An instruction the processor does not know.
    Illegal,
    /// A system call that a filter refused with `SIGSYS`.
    SystemCall,
    /// An integer was divided by zero, or the quotient does not fit. AArch64 never reports this.
    IntegerDivide,
    /// A floating-point exception that had been unmasked.
    FloatingPoint,
    /// A breakpoint or another trap with nobody there to handle it.
    Trap,
    /// `abort()`, and what ends in it: a failed assertion, `std::terminate`, a heap check.
    Abort,
    /// The process sent itself a fault signal with `raise` or `pthread_kill`.
    Raised,
    /// The guard's deadline passed.
    Deadline,
    /// A C++ exception that nobody caught.
    CxxException,
    /// A panic of a Rust runtime other than the one this crate runs in.
    ForeignPanic,
    /// An exception of a language this crate does not know.
    ForeignException,
}

impl FaultKind {
    const fn description(self) -> &'static str {
        match self {
            Self::Access => "invalid memory access",
            Self::NonCanonical => "general protection fault",
            Self::StackOverflow => "stack overflow",
            Self::Bus => "bus error",
            Self::Illegal => "illegal instruction",
            Self::SystemCall => "refused system call",
            Self::IntegerDivide => "integer division error",
            Self::FloatingPoint => "floating-point exception",
            Self::Trap => "trap",
            Self::Abort => "abort",
            Self::Raised => "raised signal",
            Self::Deadline => "deadline passed",
            Self::CxxException => "C++ exception",
            Self::ForeignPanic => "panic of a foreign Rust runtime",
            Self::ForeignException => "exception of an unknown language",
        }
    }
}

/// What was tried at a fault's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// The address was read.
    Read,
    /// The address was written.
    Write,
    /// The address was to be executed.
    Execute,
    /// The processor does not tell, or nothing was accessed.
    Unknown,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execution",
            Self::Unknown => "access",
        })
    }
}

/// The general registers, in the platform's own order.
#[derive(Clone, Copy)]
pub struct Registers {
    pub(crate) values: [u64; Self::MOST],
    pub(crate) count: u8,
}

impl Registers {
    /// The most registers an architecture has here.
    pub(crate) const MOST: usize = 34;

    /// The values alone.
    #[must_use]
    pub fn values(&self) -> &[u64] {
        &self.values[..usize::from(self.count)]
    }

    /// Each register's name with its value.
    ///
    /// ```
    /// # fn show(fault: &crash_guard::Fault) {
    /// for (name, value) in fault.registers.named() {
    ///     println!("{name:>6} {value:#018x}");
    /// }
    /// # }
    /// ```
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        crate::sys::REGISTER_NAMES.iter().copied().zip(self.values().iter().copied())
    }
}

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |value| format_args!("{value:#x}").to_string();
        f.debug_map().entries(self.named().map(|(name, value)| (name, hex(value)))).finish()
    }
}

/// Where the frames above the fault return to, innermost first.
///
/// They come from the chain of frame pointers and are as good as that chain: code built without
/// frame pointers is passed over or ends it. Then, if the guard was told the guest's code with
/// [`Guard::within`](crate::Guard::within), addresses inside it that follow a call instruction
/// are taken from the stack.
///
/// For an exception or a foreign panic they lead from its throw to the guard. The unwinder itself
/// tells them, so that none is missing among those that fit. The first are of the runtime that
/// threw it (`__cxa_throw`, `rust_panic`). What was caught and thrown again tells of the last throw
/// only.
#[derive(Clone, Copy)]
pub struct ReturnAddresses {
    pub(crate) addresses: [usize; Self::MOST],
    pub(crate) count: u8,
}

impl ReturnAddresses {
    /// The most addresses a fault holds.
    pub const MOST: usize = 32;

    /// The addresses, innermost first.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.addresses[..usize::from(self.count)]
    }
}

impl core::ops::Deref for ReturnAddresses {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.as_slice()
    }
}

impl fmt::Debug for ReturnAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x?}", self.as_slice())
    }
}

/// Which of the process's shared locks the abandoned code may still hold.
///
/// A lock that stays held makes the next thread that wants it wait for ever. Known only with
/// glibc; elsewhere everything is [`Held::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taint {
    /// The allocator's. Inferred from the top of the stack when the fault is inside the C
    /// library, so that `Maybe` stands for what can be said and the lock may be free. It cannot
    /// be released; a process with a tainted heap had better be restarted.
    pub heap: Held,
    /// One of the three standard streams'.
    pub stdio: Held,
    /// The dynamic loader's, after a fault in a constructor. See
    /// [`release_loader_lock`](crate::release_loader_lock).
    pub loader: Held,
}

/// Whether a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// It is not.
    No,
    /// The lock itself names the faulted thread as its owner.
    Yes,
    /// The faulted code was where the lock is taken.
    Maybe,
    /// It cannot be told on this platform.
    Unknown,
}

impl Held {
    /// Whether the lock may be held as far as anything is known.
    #[must_use]
    pub fn is_suspected(self) -> bool {
        matches!(self, Self::Yes | Self::Maybe)
    }
}

/// An exception that a guard caught.
#[derive(Clone, Copy)]
pub struct Exception {
    /// The eight letters by which its runtime names vendor and language, big-endian, as in
    /// `GNUCC++\0`.
    pub class: u64,
    pub(crate) name: [u8; Self::LONGEST],
    pub(crate) length: u8,
}

impl Exception {
    /// The longest type name kept; longer ones are cut.
    pub const LONGEST: usize = 128;

    /// The thrown type's name as the compiler mangles it (`St13runtime_error`), cut after
    /// [`LONGEST`](Self::LONGEST) bytes; empty where the runtime gives none.
    #[must_use]
    pub fn type_name(&self) -> &str {
        let bytes = &self.name[..usize::from(self.length)];
        match core::str::from_utf8(bytes) {
            Ok(name) => name,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exception")
            .field("class", &format_args!("{:#x}", self.class))
            .field("type_name", &self.type_name())
            .finish()
    }
}
