//! Systems whose loaders keep no such lists.

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::error::ProcessError;
use crate::generation::Generation;
use crate::locate::Location;
use crate::mapping::{Mapping, Mappings};
use crate::memory::{Memory, ReadError, Unreadable};
use crate::startup::Startup;
use crate::sys::Ring;
use crate::watch::{Means, Place};

/// A process that runs. This system's loaders keep no lists, so that there is no value of it.
#[derive(Debug)]
pub struct Process {
    never: Never,
}

#[derive(Debug, Clone, Copy)]
enum Never {}

impl Process {
    /// This process.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn own() -> Result<Process, ProcessError> {
        Err(ProcessError::Unsupported)
    }

    /// The process of this number.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn open(_pid: u32) -> Result<Process, ProcessError> {
        Err(ProcessError::Unsupported)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        match self.never {}
    }

    /// What the kernel told it when it began.
    pub fn startup(&self) -> &Startup {
        match self.never {}
    }

    /// Finds its loader's lists.
    ///
    /// # Errors
    ///
    /// There is no process to ask.
    pub fn locate(&self) -> Result<Location, ProcessError> {
        match self.never {}
    }

    /// What is mapped where in it.
    ///
    /// # Errors
    ///
    /// There is no process to ask.
    pub fn mappings(&self) -> Result<ProcessMappings, ProcessError> {
        match self.never {}
    }

    /// The file that it executes.
    ///
    /// # Errors
    ///
    /// There is no process to ask.
    pub fn executable(&self) -> Result<FileMemory, ProcessError> {
        match self.never {}
    }

    pub(crate) fn file_mapped_at(&self, _address: u64) -> Option<FileMemory> {
        match self.never {}
    }
}

impl Memory for Process {
    fn read_exact_at(&self, _address: u64, _buffer: &mut [u8]) -> Result<(), ReadError> {
        match self.never {}
    }
}

/// The mappings of a process. There is no value of it here.
#[derive(Debug)]
pub struct ProcessMappings {
    never: Never,
}

impl Mappings for ProcessMappings {
    fn mapping_at(&self, _address: u64) -> Option<Mapping> {
        match self.never {}
    }
}

/// A file as memory whose addresses are its offsets. It is not read on this system.
#[derive(Debug)]
pub struct FileMemory {
    _file: File,
}

impl FileMemory {
    /// The file.
    pub fn new(file: File) -> FileMemory {
        FileMemory { _file: file }
    }
}

impl Memory for FileMemory {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        Err(ReadError::new(address, buffer.len(), Unreadable::Unmapped))
    }
}

/// What rings when modules change. There is no value of it here.
#[derive(Debug)]
pub(crate) struct Alarm {
    never: Never,
}

impl Alarm {
    pub(crate) fn new(_pid: u32) -> io::Result<Alarm> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn watch(&mut self, _means: Means, _places: &[Place]) -> io::Result<()> {
        match self.never {}
    }

    pub(crate) fn tick(&self, _every: Duration) -> io::Result<()> {
        match self.never {}
    }

    pub(crate) fn take(&mut self) -> io::Result<Option<Ring>> {
        match self.never {}
    }

    pub(crate) fn mute(&self, _is_mute: bool) -> io::Result<()> {
        match self.never {}
    }

    pub(crate) fn let_go(&mut self) -> io::Result<()> {
        match self.never {}
    }

    pub(crate) fn wait(&self) -> io::Result<()> {
        match self.never {}
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for crate::Watch {
    /// Ready to read when [`Watch::next_ready`](crate::Watch::next_ready) may have an event.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.alarm.never {}
    }
}

pub(crate) fn generation() -> Generation {
    Generation::default()
}
