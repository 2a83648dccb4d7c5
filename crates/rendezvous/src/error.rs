//! What can go wrong on the way to a list and along it.

use crate::memory::ReadError;

/// Why a loader's list was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// The auxiliary vector lacks an entry without which nothing is found.
    #[error("the auxiliary vector has no {entry}")]
    Auxv {
        /// Its name.
        entry: &'static str,
    },
    /// Memory that is needed cannot be read.
    #[error("{what}: {error}")]
    Unreadable {
        /// What was to be read.
        what: &'static str,
        /// Why it was not.
        error: ReadError,
    },
    /// The program is static, and has no loader in it either.
    #[error("a static program: it has no loader that could have a list")]
    Static,
    /// There is a loader, and nothing tells where its list is.
    #[error("no DT_DEBUG in the program, and the loader defines no _r_debug")]
    NoList,
}

impl LocateError {
    pub(crate) fn unreadable(what: &'static str) -> impl Fn(ReadError) -> LocateError {
        move |error| LocateError::Unreadable { what, error }
    }
}

/// Why bytes are no core file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// They do not begin with the header of an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// They are an ELF file of another kind.
    #[error("an ELF file, but no core file (e_type {kind:#x})")]
    NotCore {
        /// `e_type`.
        kind: u16,
    },
    /// The program headers are not in the file.
    #[error("program headers: {0}")]
    ProgramHeaders(ReadError),
    /// No note has the auxiliary vector.
    #[error("no note has the auxiliary vector")]
    NoAuxv,
}

/// Why a walk along the loader's lists ended early, or what it found amiss on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A `struct r_debug` cannot be read.
    #[error("r_debug: {0}")]
    Head(ReadError),
    /// A `struct link_map` cannot be read.
    #[error("link_map: {0}")]
    Node(ReadError),
    /// A list leads back to where it has been.
    #[error("the list comes back to {at:#x}")]
    Cycle {
        /// The structure that was reached twice.
        at: u64,
    },
    /// A node's `l_prev` is not the node before it.
    #[error("link_map at {at:#x}: l_prev is {found:#x}, reached from {expected:#x}")]
    BackLink {
        /// The node.
        at: u64,
        /// The node before it, 0 for the first.
        expected: u64,
        /// What the node says.
        found: u64,
    },
    /// A name has no end; the walk goes on without it.
    #[error("link_map at {at:#x}: l_name has no end within 4096 bytes")]
    Name {
        /// The node.
        at: u64,
    },
    /// There are more modules than any process has.
    #[error("more than {limit} modules")]
    TooLong {
        /// How many are read.
        limit: usize,
    },
    /// There are more namespaces than any loader has.
    #[error("more than {limit} namespaces")]
    TooManyNamespaces {
        /// How many are read.
        limit: usize,
    },
    /// The lists are scattered over more memory than is read for them.
    #[error("the lists are spread over more than {limit:#x} bytes")]
    TooLarge {
        /// How much is read.
        limit: usize,
    },
}

/// Why a process cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// There is no such process.
    #[error("there is no process {pid}")]
    NoProcess {
        /// Its number.
        pid: u32,
    },
    /// It has ended and is not waited for yet, or it is the kernel's own.
    #[error("process {pid} has no memory: it has ended, or is a part of the kernel")]
    NoMemory {
        /// Its number.
        pid: u32,
    },
    /// The system does not let this program read it.
    #[error("process {pid} may not be read: {refusal}")]
    Refused {
        /// Its number.
        pid: u32,
        /// What is in the way, and what to do about it.
        refusal: Refusal,
    },
    /// Its lists were not found.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// This system's loaders keep no such lists.
    #[error("the loader of this system keeps no list to be read")]
    Unsupported,
    /// The system failed.
    #[error("{call}: {source}")]
    System {
        /// The call that failed, and what it was about.
        call: String,
        /// Its error.
        source: std::io::Error,
    },
}

/// Why the system does not let one process read another; its text says what can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to somebody else.
    #[error("it belongs to user {owner}; be that user, or root, or have CAP_SYS_PTRACE")]
    OtherUser {
        /// The number of the user.
        owner: u32,
    },
    /// Yama lets a process be read by its ancestors only.
    #[error(
        "Yama lets a process be read by its ancestors only (kernel.yama.ptrace_scope = 1); start \
         it from this program, or let it allow this one by prctl(PR_SET_PTRACER), or be root or \
         have CAP_SYS_PTRACE, or set kernel.yama.ptrace_scope to 0"
    )]
    YamaDescendants,
    /// Yama lets a process be read by the administrator only.
    #[error(
        "Yama lets a process be read by the administrator only (kernel.yama.ptrace_scope = 2); be \
         root or have CAP_SYS_PTRACE, or set kernel.yama.ptrace_scope to 0"
    )]
    YamaAdministrator,
    /// Yama lets no process be read until the machine is started anew.
    #[error(
        "Yama lets no process be read (kernel.yama.ptrace_scope = 3), which lasts until the \
         machine is started anew"
    )]
    YamaNobody,
    /// The process or its surroundings forbid it.
    #[error(
        "it runs with more rights than its user has, has asked not to be read \
         (prctl(PR_SET_DUMPABLE)), or a container or another security module forbids it; be root \
         or have CAP_SYS_PTRACE in its user namespace"
    )]
    Protected,
}
