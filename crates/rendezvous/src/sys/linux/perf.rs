//! Events of another process without stopping it: the kernel's performance counters, set to count
//! how often an instruction runs.
//!
//! A counter is the watcher's own. When the watcher ends, however it ends, the kernel takes its
//! counters away, and nothing of them is in the target.

#![allow(unsafe_code, reason = "perf_event_open(2) and the ring it shares with the kernel")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted, besides that another program is run.
pub(crate) enum Counted {
    /// Every time the instruction at this address runs, by a debug register of the processor.
    Instruction(u64),
    /// Every time the instruction at this offset of a file runs, by a breakpoint that the kernel
    /// keeps in the page of that file.
    Probe { file: Vec<u8>, offset: u64 },
}

/// Counters in every thread of a process, the threads to come included.
pub(crate) struct Counters {
    pid: u32,
    /// What tells threads that begin and programs that are run.
    watching: Attributes,
    /// Whether that counts as well.
    watching_counts: bool,
    /// What else counts.
    counting: Vec<Attributes>,
    /// The paths in `counting`.
    _files: Vec<CString>,
    /// Whether threads that begin have to be given counters: they do not inherit these.
    adds_threads: bool,
    processors: Vec<i32>,
    /// The threads that have a counter of their own.
    known: BTreeSet<u32>,
    /// One for each thread and processor; only those in `rings` are read.
    counters: Vec<OwnedFd>,
    /// Those that tell threads and programs alone, where there are such; never switched off.
    watchers: Vec<OwnedFd>,
    /// One for each processor.
    rings: Vec<Ring>,
}

/// What the rings held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// How often the instruction ran.
    pub(crate) times: u32,
    /// A thread has begun to run another program.
    pub(crate) exec: bool,
    /// A thread has begun that may not be counted yet.
    pub(crate) thread: bool,
    /// Records were lost: anything may have happened.
    pub(crate) lost: bool,
}

impl Counters {
    /// Counts in every thread of the process.
    ///
    /// # Errors
    ///
    /// What the kernel refuses, and more threads than there is any use in counting.
    pub(crate) fn new(pid: u32, counted: &[Counted]) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut counting = Vec::new();
        for counted in counted {
            counting.push(match counted {
                Counted::Instruction(address) => Attributes::breakpoint(*address),
                Counted::Probe { file, offset } => {
                    let file = CString::new(file.as_slice())?;
                    let attributes = Attributes::probe(probe_type()?, &file, *offset);
                    files.push(file);
                    attributes
                }
            });
        }
        // When a thread begins, the kernel would look for the name of the file in the target.
        let adds_threads = !files.is_empty();
        let (watching, watching_counts) = match counting.pop_if(|_| !adds_threads) {
            Some(breakpoint) => (breakpoint, true),
            None => (Attributes::nothing(), false),
        };
        // One of them tells that another program is run.
        counting.iter_mut().for_each(|it| it.flags &= !(COMM | COMM_EXEC));
        let tells_threads = if adds_threads { TASK } else { 0 };
        let watching = Attributes { flags: watching.flags | tells_threads, ..watching };
        let mut counters = Self {
            pid,
            watching,
            watching_counts,
            counting,
            _files: files,
            adds_threads,
            processors: processors()?,
            known: BTreeSet::new(),
            counters: Vec::new(),
            watchers: Vec::new(),
            rings: Vec::new(),
        };
        counters.add_threads()?;
        if counters.rings.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(counters)
    }

    /// Counts in the threads that are not counted yet.
    ///
    /// One of them may start others; when a look at all threads finds none that is new, every one
    /// is counted, and so are those that they start.
    fn add_threads(&mut self) -> io::Result<()> {
        loop {
            let threads = threads(self.pid)?;
            self.known.retain(|thread| threads.contains(thread));
            let new: Vec<u32> = threads.difference(&self.known).copied().collect();
            if new.is_empty() {
                return Ok(());
            }
            for thread in new {
                self.known.insert(thread);
                self.add(thread)?;
            }
        }
    }

    /// Counts in one thread. One that has ended in the meantime is none.
    fn add(&mut self, thread: u32) -> io::Result<()> {
        for &processor in &self.processors {
            let watching = (&mut self.watching, !self.watching_counts);
            let counting = self.counting.iter_mut().map(|it| (it, false));
            for (attributes, only_watches) in std::iter::once(watching).chain(counting) {
                if self.counters.len() + self.watchers.len() >= COUNTERS {
                    return Err(io::Error::other(format!(
                        "{} threads on {} processors take more than {COUNTERS} counters",
                        self.known.len(),
                        self.processors.len()
                    )));
                }
                let counter = match attributes.open(thread, processor) {
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                    counter => counter?,
                };
                match self.rings.iter().find(|ring| ring.processor == processor) {
                    Some(ring) => ring.take_from(&counter)?,
                    None => self.rings.push(Ring::of(&counter, processor)?),
                }
                if only_watches {
                    self.watchers.push(counter);
                } else {
                    self.counters.push(counter);
                }
            }
        }
        Ok(())
    }

    /// The descriptors that are ready to read when something has been counted.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(|ring| ring.counter.as_fd())
    }

    /// Switches what counts on or off, in threads that began since too.
    pub(crate) fn switch(&self, on: bool) -> io::Result<()> {
        const PERF_EVENT_IOC_ENABLE: libc::Ioctl = 0x2400;
        const PERF_EVENT_IOC_DISABLE: libc::Ioctl = 0x2401;
        let request = if on { PERF_EVENT_IOC_ENABLE } else { PERF_EVENT_IOC_DISABLE };
        for counter in &self.counters {
            // SAFETY: the descriptor is open, and the request takes a number.
            if unsafe { libc::ioctl(counter.as_raw_fd(), request, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// What has been counted since this was last asked.
    pub(crate) fn take(&mut self) -> io::Result<Noticed> {
        let mut noticed = Noticed::default();
        for ring in &mut self.rings {
            ring.drain(&mut noticed);
        }
        if noticed.thread && self.adds_threads {
            self.add_threads()?;
            // Until now nobody knew what it did.
            noticed.lost = true;
        }
        Ok(noticed)
    }
}

/// The records of one processor, in two pages: one that says how far the kernel has written, and
/// one that holds the records.
struct Ring {
    processor: i32,
    counter: OwnedFd,
    pages: *mut libc::c_void,
    page_size: usize,
}

// SAFETY: the mapping belongs to this value alone; nothing in it depends on the thread.
unsafe impl Send for Ring {}
// SAFETY: what a shared reference gives is the counter's descriptor; the mapping is only read
// through `drain`, which takes the value exclusively.
unsafe impl Sync for Ring {}

impl Ring {
    fn of(counter: &OwnedFd, processor: i32) -> io::Result<Self> {
        let counter = counter.try_clone()?;
        // SAFETY: `sysconf` takes any number.
        let page_size = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })
            .map_err(|_| io::Error::last_os_error())?;
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let pages = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * page_size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                counter.as_raw_fd(),
                0,
            )
        };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { processor, counter, pages, page_size })
    }

    /// Lets another counter of the same processor write here.
    fn take_from(&self, counter: &OwnedFd) -> io::Result<()> {
        const PERF_EVENT_IOC_SET_OUTPUT: libc::Ioctl = 0x2405;
        // SAFETY: both are descriptors that are open, and this request takes the second's number.
        let failed = unsafe {
            libc::ioctl(counter.as_raw_fd(), PERF_EVENT_IOC_SET_OUTPUT, self.counter.as_raw_fd())
        };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn drain(&mut self, noticed: &mut Noticed) {
        /// Where `struct perf_event_mmap_page` says how far has been written, and how far read.
        const DATA_HEAD: usize = 1024;
        const DATA_TAIL: usize = 1032;
        const HEADER: u64 = 8;

        let first = self.pages.cast::<u8>();
        // SAFETY: both words lie aligned in the first of the two pages, which stay mapped for as
        // long as `self` lives; the kernel writes the first of them at any time, and atomically.
        let (head, tail) = unsafe {
            (
                AtomicU64::from_ptr(first.add(DATA_HEAD).cast()),
                AtomicU64::from_ptr(first.add(DATA_TAIL).cast()),
            )
        };
        let end = head.load(Ordering::Acquire);
        let mut at = tail.load(Ordering::Relaxed);
        while end.wrapping_sub(at) >= HEADER {
            let header: [u8; 8] = std::array::from_fn(|i| self.byte(at.wrapping_add(i as u64)));
            let [k0, k1, k2, k3, m0, m1, s0, s1] = header;
            let kind = u32::from_ne_bytes([k0, k1, k2, k3]);
            let miscellaneous = u16::from_ne_bytes([m0, m1]);
            let size = u16::from_ne_bytes([s0, s1]);
            match kind {
                PERF_RECORD_SAMPLE => noticed.times = noticed.times.saturating_add(1),
                PERF_RECORD_LOST => noticed.lost = true,
                PERF_RECORD_FORK => noticed.thread = true,
                PERF_RECORD_COMM if miscellaneous & PERF_RECORD_MISC_COMM_EXEC != 0 => {
                    noticed.exec = true;
                }
                _ => {}
            }
            if u64::from(size) < HEADER {
                break;
            }
            at = at.wrapping_add(u64::from(size));
        }
        tail.store(end, Ordering::Release);
    }

    /// A byte of the records, which go round in the second page.
    fn byte(&self, at: u64) -> u8 {
        let within = (at % self.page_size as u64) as usize;
        // SAFETY: the offset is below the size of the second page, which is mapped; the kernel has
        // written this byte before it moved its head behind it, and does not write it again
        // before the tail is moved.
        unsafe { self.pages.cast::<u8>().add(self.page_size + within).read_volatile() }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping of this length was made by `of`, and nothing refers to it any more.
        unsafe { libc::munmap(self.pages, 2 * self.page_size) };
    }
}

/// `struct perf_event_attr`, as far as kernels since 4.1 know it.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_watermark: u32,
    breakpoint_type: u32,
    /// `bp_addr`, `config1`: the address, or the pointer to the name of the file.
    what: u64,
    /// `bp_len`, `config2`: the length, or the offset in the file.
    length_or_offset: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock: i32,
    sample_regs_interrupt: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved: u16,
}

impl Attributes {
    fn breakpoint(address: u64) -> Self {
        Self {
            kind: PERF_TYPE_BREAKPOINT,
            breakpoint_type: HW_BREAKPOINT_X,
            what: address,
            length_or_offset: size_of::<libc::c_long>() as u64,
            ..Self::any()
        }
    }

    /// `file` is kept for as long as the attributes are used.
    fn probe(kind: u32, file: &CString, offset: u64) -> Self {
        Self {
            kind,
            what: file.as_ptr() as u64,
            length_or_offset: offset,
            flags: EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR | WATERMARK,
            ..Self::any()
        }
    }

    fn nothing() -> Self {
        const PERF_TYPE_SOFTWARE: u32 = 1;
        const PERF_COUNT_SW_DUMMY: u64 = 9;
        Self { kind: PERF_TYPE_SOFTWARE, config: PERF_COUNT_SW_DUMMY, ..Self::any() }
    }

    fn any() -> Self {
        Self {
            kind: 0,
            size: size_of::<Self>() as u32,
            config: 0,
            sample_period: 1,
            sample_type: 0,
            read_format: 0,
            flags: INHERIT
                | EXCLUDE_KERNEL
                | EXCLUDE_HYPERVISOR
                | COMM
                | WATERMARK
                | COMM_EXEC
                | INHERIT_THREAD,
            wakeup_watermark: 1,
            breakpoint_type: 0,
            what: 0,
            length_or_offset: 0,
            branch_sample_type: 0,
            sample_regs_user: 0,
            sample_stack_user: 0,
            clock: 0,
            sample_regs_interrupt: 0,
            aux_watermark: 0,
            sample_max_stack: 0,
            reserved: 0,
        }
    }

    /// A counter of one thread on one processor: only those may be handed on to threads to come
    /// and have a ring.
    fn open(&mut self, thread: u32, processor: i32) -> io::Result<OwnedFd> {
        loop {
            // SAFETY: the kernel reads as many bytes as the structure says of itself, and the name
            // of the file, where there is one, is kept by the caller.
            let opened = unsafe {
                libc::syscall(
                    libc::SYS_perf_event_open,
                    &raw const *self,
                    thread as libc::pid_t,
                    processor,
                    -1,
                    PERF_FLAG_FD_CLOEXEC,
                )
            };
            if opened >= 0 {
                // SAFETY: a descriptor that the kernel has just opened is nobody else's.
                return Ok(unsafe { OwnedFd::from_raw_fd(opened as i32) });
            }
            let error = io::Error::last_os_error();
            // Before 5.13 a counter was handed on to child processes too. What runs there is
            // noticed in vain.
            if error.raw_os_error() == Some(libc::EINVAL) && self.flags & INHERIT_THREAD != 0 {
                self.flags &= !INHERIT_THREAD;
                continue;
            }
            return Err(error);
        }
    }
}

/// The kernel's number for counters of its own breakpoints in files.
fn probe_type() -> io::Result<u32> {
    let text = std::fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
    text.trim().parse().map_err(io::Error::other)
}

fn threads(pid: u32) -> io::Result<BTreeSet<u32>> {
    let mut threads = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        threads.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(threads)
}

/// The numbers of the processors that run: `0-3,6`.
fn processors() -> io::Result<Vec<i32>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let mut processors = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            processors.extend(first..=last.min(first.saturating_add(8191)));
        }
    }
    Ok(processors)
}

/// As many descriptors as may be opened for one target.
const COUNTERS: usize = 512;

const PERF_TYPE_BREAKPOINT: u32 = 5;
const HW_BREAKPOINT_X: u32 = 4;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_COMM: u32 = 3;
const PERF_RECORD_FORK: u32 = 7;
const PERF_RECORD_SAMPLE: u32 = 9;
const PERF_RECORD_MISC_COMM_EXEC: u16 = 1 << 13;

// Bits of `flags`.
const INHERIT: u64 = 1 << 1;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
const COMM: u64 = 1 << 9;
const TASK: u64 = 1 << 13;
const WATERMARK: u64 = 1 << 14;
const COMM_EXEC: u64 = 1 << 24;
const INHERIT_THREAD: u64 = 1 << 35;
