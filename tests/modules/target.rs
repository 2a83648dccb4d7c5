//! A running target that obeys, and what the system says is mapped in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

/// A process that does what it is told.
pub struct Target {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Target {
    /// Starts it and waits until it listens.
    pub fn start(program: impl AsRef<Path>) -> Self {
        Self::of(&mut Command::new(program.as_ref()))
    }

    /// The same of a command.
    pub fn of(command: &mut Command) -> Self {
        let mut target = Self::of_started(command);
        target.expect("ready");
        target
    }

    /// A process that may not have come to its first line yet.
    pub fn of_started(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, answers }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub fn end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The answer to a command.
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.hear().unwrap_or_else(|| panic!("{command}: no answer but {:?}", self.child.wait()))
    }

    /// A command that the answer is not waited for.
    pub fn tell(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).unwrap();
    }

    /// The next line that it says.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.pop().map(|_| line)
    }

    /// Whether a line can be read without waiting; waits until there is one, or until `other` is
    /// ready to read.
    pub fn has_said(&self, other: BorrowedFd<'_>) -> bool {
        let interest = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut ready = [interest(self.answers.get_ref().as_raw_fd()), interest(other.as_raw_fd())];
        // SAFETY: two entries, as is said; both descriptors are open.
        let count = unsafe { libc::poll(ready.as_mut_ptr(), 2, 20_000) };
        assert_ne!(count, 0, "neither the target nor the watch has anything to say");
        ready[0].revents != 0
    }

    pub fn expect(&mut self, answer: &str) {
        let heard = self.hear();
        assert_eq!(heard.as_deref(), Some(answer), "{:?}", self.child.try_wait());
    }

    /// Opens a library and gives the number of its handle.
    pub fn open(&mut self, library: &Path) -> String {
        self.handle(&format!("open {}", library.display()))
    }

    /// The handle that a command gives.
    pub fn handle(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        let handle = answer.strip_prefix("handle ");
        handle.unwrap_or_else(|| panic!("{command}: {answer}")).to_owned()
    }

    /// Closes a handle.
    pub fn close(&mut self, handle: &str) {
        assert_eq!(self.ask(&format!("close {handle}")), "closed 0");
    }

    /// That it runs, and how many signals it has had.
    pub fn signals(&mut self) -> u32 {
        let answer = self.ask("alive");
        answer.strip_prefix("alive ").unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so that its number is its own.
        let failed = unsafe { libc::kill(self.pid() as i32, signal) };
        assert_eq!(failed, 0);
    }

    /// Has it end by itself, and gives the code.
    pub fn exit(&mut self, code: i32) -> i32 {
        self.tell(&format!("exit {code}"));
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| panic!("ended by signal {:?}", status.signal()))
    }

    /// Waits for its end, and gives the signal that ended it.
    pub fn end_by_signal(&mut self) -> Option<i32> {
        self.child.wait().unwrap().signal()
    }

    /// Waits for a change that the kernel tells parents of, and says whether it is this one.
    pub fn change(&self, options: i32, is_it: extern "C" fn(i32) -> bool) -> bool {
        let mut status = 0;
        // SAFETY: the kernel writes the status into a local; what is waited for does not end it.
        let waited = unsafe { libc::waitpid(self.pid() as i32, &raw mut status, options) };
        waited == self.pid() as i32 && is_it(status)
    }

    /// `T` for one that is stopped.
    pub fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    /// The ELF images that the kernel has mapped into it: where each begins, and its file.
    ///
    /// An image begins where offset 0 of an ELF file is mapped and the same file was not mapped
    /// right before it.
    pub fn mapped(&self) -> BTreeSet<(u64, PathBuf)> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap();
        let memory = fs::File::open(format!("/proc/{}/mem", self.pid())).unwrap();
        let mut images = BTreeSet::new();
        let mut last = (0, "");
        for line in maps.lines() {
            let mut fields = line.splitn(6, ' ');
            let mut field = || fields.next().unwrap_or_default();
            let (start, end) = field().split_once('-').unwrap();
            let (start, end) = (address(start), address(end));
            let (_, offset, _, inode) = (field(), field(), field(), field());
            let path = fields.next().unwrap_or_default().trim_start();
            let follows = last == (start, path);
            last = (end, path);
            let is_kernel = path == "[vdso]";
            if (inode == "0" && !is_kernel) || address(offset) != 0 || follows {
                continue;
            }
            let mut magic = [0; 4];
            memory.read_exact_at(&mut magic, start).unwrap();
            if magic == *b"\x7fELF" {
                let path = path.strip_suffix(" (deleted)").unwrap_or(path);
                images.insert((start, PathBuf::from(path)));
            }
        }
        images
    }

    /// Bytes of its memory.
    pub fn bytes_at(&self, address: u64, length: usize) -> Vec<u8> {
        let memory = fs::File::open(format!("/proc/{}/mem", self.pid())).unwrap();
        let mut bytes = vec![0; length];
        memory.read_exact_at(&mut bytes, address).unwrap();
        bytes
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may be stopped, or of no mind to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap()
}
