use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program under way, with its two outputs read line by line.
pub struct Session {
    child: Child,
    output: Receiver<String>,
    errors: Receiver<String>,
}

/// How the program ended, and the lines that had not been read by then.
pub struct End {
    pub status: ExitStatus,
    pub output: Vec<String>,
    pub errors: Vec<String>,
}

impl Session {
    pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::spawn(program().args(arguments))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = lines(child.stdout.take().unwrap());
        let errors = lines(child.stderr.take().unwrap());
        Self { child, output, errors }
    }

    /// The next event, which must be this one.
    pub fn expect(&self, event: &str) -> Value {
        let line = within_limit(&self.output, event);
        let object = parse(&line);
        assert_eq!(object["event"], event, "{line}");
        object
    }

    /// The next line of the standard error.
    pub fn expect_error(&self) -> String {
        within_limit(&self.errors, "a line of the standard error")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> End {
        // Both outputs end with the process, so that waiting for it afterwards is short.
        let output = rest(&self.output);
        let errors = rest(&self.errors);
        End { status: self.child.wait().unwrap(), output, errors }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A test that failed leaves nothing running; after an orderly end both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    pub fn events(&self) -> Vec<Value> {
        self.output.iter().map(|line| parse(line)).collect()
    }

    pub fn error_text(&self) -> String {
        self.errors.join("\n")
    }

    /// The last event, which must be `closed`, after an end with this code.
    pub fn closed(&self, code: i32) -> Value {
        assert_eq!(self.status.code(), Some(code), "{}", self.error_text());
        let closed = self.events().pop().expect("the last event is there");
        assert_eq!(closed["event"], "closed", "{closed}");
        closed
    }
}

/// The program, with surroundings that do not change what it prints.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reloader"));
    command.env_remove("CC").env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    command
}

fn parse(line: &str) -> Value {
    let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    assert!(object.is_object(), "{line}");
    assert!(object.get("event").is_some_and(Value::is_string), "{line}");
    object
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn within_limit(lines: &Receiver<String>, awaited: &str) -> String {
    lines.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("waiting for {awaited}: {e}"))
}

fn rest(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => rest.push(line),
            Err(RecvTimeoutError::Disconnected) => return rest,
            Err(RecvTimeoutError::Timeout) => panic!("the program does not end: {rest:?}"),
        }
    }
}

/// How long anything may take before a test gives up on it.
pub const LIMIT: Duration = Duration::from_secs(60);
