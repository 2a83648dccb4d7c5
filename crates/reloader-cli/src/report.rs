//! Where reports go: one line each, flushed, as text or as JSON.

use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anstyle::Style;
use anyhow::Context;
use reloader::Event;
use rendezvous::Watch;
use serde::Serialize;

use crate::palette::Palette;
use crate::record::{Leftover, Record};
use crate::sys;

/// Something that is reported.
pub trait Report: Serialize {
    /// The line to read, without its end.
    fn line(&self, palette: &Palette) -> String;
}

/// The standard output as the place for reports; its clones share it.
#[derive(Clone)]
pub struct Reporter {
    shared: Arc<Mutex<Output>>,
}

struct Output {
    to: Destination,
    last: Option<Record>,
    /// The first failure to write; nothing is written after it.
    failure: Option<io::Error>,
}

enum Destination {
    Lines(Palette),
    Json(File),
}

impl Reporter {
    /// Reports to the standard output.
    ///
    /// With `json`, it is the program's alone from now on, so that every line in it is an object:
    /// what the guest prints goes to the standard error instead.
    pub fn new(json: bool) -> anyhow::Result<Self> {
        let to = if json {
            let own = sys::take_stdout()
                .context("the standard output cannot be kept apart from the guest's")?;
            Destination::Json(own)
        } else {
            Destination::Lines(Palette::of(&io::stdout()))
        };
        Ok(Self { shared: Arc::new(Mutex::new(Output { to, last: None, failure: None })) })
    }

    /// Reports what happened to the plugin and returns it, if it is something that is reported.
    pub fn event(&self, event: &Event) -> Option<Record> {
        let record = Record::of(event);
        match &record {
            Some(record) => self.output().record(record),
            None => self.output().leftover(event),
        }
        record
    }

    /// Reports anything else.
    pub fn report(&self, report: &impl Report) {
        self.output().report(report);
    }

    /// Whether there is any use in going on: an error if the output failed, false if its reader is
    /// gone.
    pub fn is_read(&self) -> anyhow::Result<bool> {
        match &self.output().failure {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Some(error) => anyhow::bail!("cannot write to the standard output: {error}"),
            None => {}
        }
        Ok(!match &self.output().to {
            Destination::Lines(_) => sys::reader_is_gone(io::stdout()),
            Destination::Json(own) => sys::reader_is_gone(own),
        })
    }

    /// Waits until the watch may have an event; false if the output's reader is gone, which is
    /// noticed meanwhile.
    pub fn wait(&self, watch: &Watch) -> anyhow::Result<bool> {
        match &self.output().to {
            Destination::Lines(_) => sys::wait_while_read(watch, io::stdout()),
            Destination::Json(own) => sys::wait_while_read(watch, own),
        }
        .context("waiting for what happens next")?;
        self.is_read()
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        // What a panic in between can leave behind is half a line.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn record(&mut self, record: &Record) {
        // A guest that fails in every step says the same again and again, which only programs want
        // to read.
        let repeated = self.last.replace(record.clone()).is_some_and(|last| last == *record);
        if repeated && matches!(self.to, Destination::Lines(_)) {
            return;
        }
        self.report(record);
    }

    fn leftover(&mut self, event: &Event) {
        if let (Destination::Lines(palette), Some(leftover)) = (&self.to, Leftover::of(event)) {
            let line = leftover.line(palette);
            self.write(line);
        }
    }

    fn report(&mut self, report: &impl Report) {
        match &self.to {
            Destination::Lines(palette) => {
                let line = report.line(palette);
                self.write(line);
            }
            Destination::Json(_) => match serde_json::to_string(report) {
                Ok(line) => self.write(line),
                Err(error) => self.failure = Some(error.into()),
            },
        }
    }

    fn write(&mut self, mut line: String) {
        if self.failure.is_some() {
            return;
        }
        line.push('\n');
        let written = match &mut self.to {
            Destination::Lines(_) => write_flushed(&mut io::stdout().lock(), &line),
            Destination::Json(own) => write_flushed(own, &line),
        };
        self.failure = written.err();
    }
}

/// Prints a report of a program that runs nothing else: no guest prints in between, and whoever
/// has closed the output does not want to read it.
pub fn print(text: &str) -> anyhow::Result<()> {
    match write_flushed(&mut io::stdout().lock(), &format!("{text}\n")) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// Prints what `write` writes, without having all of it at once; otherwise as [`print()`].
pub fn print_by(write: impl FnOnce(&mut Out) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// The standard output, of which nobody else writes anything meanwhile.
pub type Out = BufWriter<StdoutLock<'static>>;

/// Prints one object.
pub fn print_json(object: &impl Serialize) -> anyhow::Result<()> {
    print_by(|out| {
        serde_json::to_writer(&mut *out, object)?;
        out.write_all(b"\n")
    })
}

/// Says why the program failed.
pub fn complain(error: &anyhow::Error) {
    say(Palette::of(&io::stderr()).bad, &reason(error));
}

/// An error with its causes, each said once: many name theirs themselves.
pub fn reason(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            said if said.ends_with(&cause) => said.to_owned(),
            said => format!("{said}: {cause}"),
        }
    })
}

/// Says what the program is doing where nothing else would show it.
pub fn remark(text: &str) {
    say(Palette::of(&io::stderr()).quiet, text);
}

fn say(style: Style, text: &str) {
    // If this fails, there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{style}reloader:{style:#} {text}");
}

fn write_flushed(out: &mut impl Write, line: &str) -> io::Result<()> {
    out.write_all(line.as_bytes())?;
    out.flush()
}

const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn each_cause_of_an_error_is_said_once() {
        let error = Err::<(), _>(anyhow!("not found"))
            .context("open: not found")
            .context("cannot read a")
            .unwrap_err();
        assert_eq!(reason(&error), "cannot read a: open: not found");
    }
}
