//! A running process.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::maps::{self, ProcessMappings};
use super::vm;
use crate::error::{ProcessError, Refusal};
use crate::locate::{Location, Rendezvous};
use crate::mapping::Mappings;
use crate::memory::{Memory, ReadError, Unreadable};
use crate::startup::Startup;

/// A process that runs, this one or another: its memory, and what the kernel tells of it.
///
/// It is neither stopped nor changed. Reading another process takes the same permission as
/// attaching a debugger to it; [`ProcessError::Refused`] says what is missing.
///
/// A process that executes another program is a new one in all but its number: open it again.
///
/// ```
/// use rendezvous::Process;
///
/// # #[cfg(target_os = "linux")]
/// # fn main() -> Result<(), rendezvous::ProcessError> {
/// let process = Process::own()?;
/// let rendezvous = process.locate()?.found().expect("this program has been loaded");
/// for module in rendezvous.snapshot(&process).modules() {
///     println!("{:#x} {}", module.bias, module.path_lossy());
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Process {
    pid: u32,
    startup: Startup,
    /// `process_vm_readv` is not to be had, as in a sandbox.
    by_file: AtomicBool,
}

impl Process {
    /// This process.
    ///
    /// # Errors
    ///
    /// If the kernel keeps `/proc` from it.
    pub fn own() -> Result<Process, ProcessError> {
        Process::open(std::process::id())
    }

    /// The process of this number.
    ///
    /// # Errors
    ///
    /// If there is none, or it has ended, or may not be read.
    pub fn open(pid: u32) -> Result<Process, ProcessError> {
        let startup = startup(pid)?;
        let process = Process { pid, startup, by_file: AtomicBool::new(false) };
        let table = process.startup.auxv.phdr.unwrap_or_default();
        match process.read_exact_at(table, &mut [0]) {
            Err(ReadError { reason: Unreadable::Refused, .. }) => Err(refused(pid)),
            Err(ReadError { reason: Unreadable::Gone, .. }) => Err(ProcessError::NoProcess { pid }),
            _ => Ok(process),
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the kernel told it when it began.
    pub fn startup(&self) -> &Startup {
        &self.startup
    }

    /// Finds its loader's lists. See [`Rendezvous::locate`].
    ///
    /// # Errors
    ///
    /// If it has none, or what leads to them cannot be read.
    pub fn locate(&self) -> Result<Location, ProcessError> {
        let executable = self.executable().ok();
        let executable = executable.as_ref().map(|file| file as &dyn Memory);
        Ok(Rendezvous::locate(self, &self.startup, executable)?)
    }

    /// What is mapped where in it.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn mappings(&self) -> Result<ProcessMappings, ProcessError> {
        File::open(proc_path(self.pid, "maps"))
            .and_then(|file| ProcessMappings::new(file, proc_path(self.pid, "root").into()))
            .map_err(|error| failed(self.pid, "maps", error))
    }

    /// The file that it executes, deleted or not.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn executable(&self) -> Result<FileMemory, ProcessError> {
        File::open(proc_path(self.pid, "exe"))
            .map(FileMemory::new)
            .map_err(|error| failed(self.pid, "exe", error))
    }

    /// The file that is mapped at an address, if it can still be opened.
    pub(crate) fn file_mapped_at(&self, address: u64) -> Option<FileMemory> {
        let mapping = self.mappings().ok()?.mapping_at(address)?;
        maps::file_paths(self.pid, &mapping).find_map(|path| {
            // At the path there may be anything by now, a pipe that nobody writes to.
            let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
            file.metadata().ok()?.is_file().then(|| FileMemory::new(file))
        })
    }

    /// Reads buffers one after the other, and says how many bytes before the first that cannot be
    /// read, and why that one cannot.
    fn read(&self, reads: &mut [(u64, &mut [u8])]) -> (usize, Unreadable) {
        if !self.by_file.load(Ordering::Relaxed) {
            match vm::read(self.pid, reads) {
                Ok(read) => return (read, Unreadable::Unmapped),
                Err(error) => match error.raw_os_error() {
                    None | Some(libc::EFAULT | libc::EIO) => return (0, Unreadable::Unmapped),
                    Some(libc::ESRCH) => return (0, Unreadable::Gone),
                    Some(libc::ENOSYS | libc::EPERM) => {}
                    Some(other) => return (0, Unreadable::System(other)),
                },
            }
        }
        let file = match File::open(proc_path(self.pid, "mem")) {
            Ok(file) => file,
            Err(error) => return (0, reason(&error)),
        };
        let memory = FileMemory::new(file);
        let mut total = 0_usize;
        for (address, buffer) in reads {
            let read = memory.read_up_to(*address, buffer);
            total = total.saturating_add(read);
            if read < buffer.len() {
                return (total, Unreadable::Unmapped);
            }
        }
        if total > 0 {
            // A sandbox, then, and not a lack of permission.
            self.by_file.store(true, Ordering::Relaxed);
        }
        (total, Unreadable::Unmapped)
    }
}

impl Memory for Process {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.read_many(&mut [(address, buffer)])
    }

    fn read_many(&self, reads: &mut [(u64, &mut [u8])]) -> Result<(), ReadError> {
        for batch in reads.chunks_mut(vm::MOST_READS) {
            let (read, reason) = self.read(batch);
            let mut left = Some(read);
            for (address, buffer) in batch {
                left = left.and_then(|left| left.checked_sub(buffer.len()));
                if left.is_none() {
                    return Err(ReadError::new(*address, buffer.len(), reason));
                }
            }
        }
        Ok(())
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        self.read(&mut [(address, buffer)]).0
    }
}

/// A file as memory whose addresses are its offsets.
#[derive(Debug)]
pub struct FileMemory {
    file: File,
}

impl FileMemory {
    /// The file, which is read from where it is asked for.
    pub fn new(file: File) -> FileMemory {
        FileMemory { file }
    }
}

impl Memory for FileMemory {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.file
            .read_exact_at(buffer, address)
            .map_err(|error| ReadError::new(address, buffer.len(), reason(&error)))
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut read = 0_usize;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, address.wrapping_add(read as u64)) {
                Ok(0) => break,
                Ok(more) => read = read.saturating_add(more),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        read
    }
}

/// What the kernel told a process: nothing if it has no memory, and nothing yet for a moment while
/// it begins to execute a program.
fn startup(pid: u32) -> Result<Startup, ProcessError> {
    for _ in 0..MOST_LOOKS {
        let auxv =
            std::fs::read(proc_path(pid, "auxv")).map_err(|error| failed(pid, "auxv", error))?;
        if let Some(startup) = Startup::from_auxv(&auxv) {
            return Ok(startup);
        }
        if auxv.is_empty() {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Err(ProcessError::NoMemory { pid })
}

fn proc_path(pid: u32, name: &str) -> String {
    format!("/proc/{pid}/{name}")
}

fn reason(error: &io::Error) -> Unreadable {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) | (_, Some(libc::ESRCH)) => Unreadable::Gone,
        (io::ErrorKind::PermissionDenied, _) => Unreadable::Refused,
        (io::ErrorKind::UnexpectedEof, _) | (_, Some(libc::EIO | libc::EFAULT)) | (_, None) => {
            Unreadable::Unmapped
        }
        (_, Some(other)) => Unreadable::System(other),
    }
}

fn failed(pid: u32, name: &str, error: io::Error) -> ProcessError {
    match reason(&error) {
        // Of one that has ended and is not waited for, the entry is left.
        Unreadable::Gone if Path::new(&format!("/proc/{pid}")).exists() => {
            ProcessError::NoMemory { pid }
        }
        Unreadable::Gone => ProcessError::NoProcess { pid },
        Unreadable::Refused => refused(pid),
        _ => ProcessError::System {
            call: format!("reading {}", proc_path(pid, name)),
            source: error,
        },
    }
}

fn refused(pid: u32) -> ProcessError {
    let owner = |pid: &str| Some(std::fs::metadata(format!("/proc/{pid}")).ok()?.uid());
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let refusal = refusal(owner(&pid.to_string()), owner("self"), scope.trim());
    ProcessError::Refused { pid, refusal }
}

/// Why, given whose the process is, whose this one is, and what Yama is set to.
fn refusal(owner: Option<u32>, own: Option<u32>, scope: &str) -> Refusal {
    match (owner, own, scope) {
        // What has more rights than its user has belongs to root here.
        (Some(owner), Some(own), _) if owner != own && own != 0 => Refusal::OtherUser { owner },
        (_, _, "1") => Refusal::YamaDescendants,
        (_, _, "2") => Refusal::YamaAdministrator,
        (_, _, "3") => Refusal::YamaNobody,
        _ => Refusal::Protected,
    }
}

/// A second together: nothing takes as long as that between the old program's end and the new
/// one's beginning.
const MOST_LOOKS: u32 = 10_000;
const BETWEEN_LOOKS: Duration = Duration::from_micros(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_call_is_forbidden_the_file_gives_the_same() {
        let process = Process::own().unwrap();
        let by_file = Process {
            pid: process.pid,
            startup: process.startup.clone(),
            by_file: AtomicBool::new(true),
        };
        let numbers = [[1_u64, 2, 3], [4, 5, 6]];
        let address = std::ptr::from_ref(&numbers) as u64;
        for process in [&process, &by_file] {
            let (mut one, mut two) = ([0; 8], [0; 16]);
            process.read_many(&mut [(address + 40, &mut one), (address + 8, &mut two)]).unwrap();
            assert_eq!(u64::from_ne_bytes(one), 6);
            assert_eq!(two[8..], 3_u64.to_ne_bytes());
            let error = process.read_many(&mut [(address, &mut one), (16, &mut two)]).unwrap_err();
            assert_eq!(error, ReadError::new(16, 16, Unreadable::Unmapped));
            assert_eq!(process.read_up_to(16, &mut two), 0);
        }
        let lists = |process: &Process| process.locate().unwrap().found().unwrap().r_debug;
        assert_eq!(lists(&process), lists(&by_file));
    }

    #[test]
    fn a_refusal_is_told_by_owners_first_and_by_yama_then() {
        let (own, other) = (Some(1000), Some(7));
        for (scope, expected) in [
            ("", Refusal::Protected),
            ("0", Refusal::Protected),
            ("1", Refusal::YamaDescendants),
            ("2", Refusal::YamaAdministrator),
            ("3", Refusal::YamaNobody),
        ] {
            assert_eq!(refusal(own, own, scope), expected);
            assert_eq!(refusal(other, own, scope), Refusal::OtherUser { owner: 7 });
            // Root may be kept from it as well.
            assert_eq!(refusal(other, Some(0), scope), expected);
            let text = ProcessError::Refused { pid: 42, refusal: expected }.to_string();
            let is_of_yama = !matches!(scope, "" | "0");
            assert!(text.starts_with("process 42 may not be read: "));
            assert_eq!(text.contains(&format!("ptrace_scope = {scope}")), is_of_yama, "{text}");
        }
    }
}
