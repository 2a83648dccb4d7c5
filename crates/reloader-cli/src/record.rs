//! What happened to the plugin, as it is reported: a line to read or a JSON object.

use std::time::Duration;

use anstyle::Style;
use reloader::{Cause, Event, Memory, StateReport};
use serde::Serialize;

use crate::palette::Palette;
use crate::report::Report;

/// One event. Its JSON form is documented in the long help of `reloader run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Record {
    Loaded { version: u32, micros: u64, modules_verified: Option<bool> },
    Reloaded { version: u32, from: u32, micros: u64, state: State, modules_verified: Option<bool> },
    Refused { version: u32, kind: String, reason: String },
    Fault(Fault),
    RolledBack { version: u32, from: u32 },
    Closed { version: Option<u32>, steps: u64 },
}

/// A version that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub version: u32,
    pub operation: &'static str,
    pub kind: String,
    /// What the guest returned, if that is the failure.
    pub value: Option<i32>,
    /// The address that was accessed.
    pub address: Option<Address>,
    /// Where in the guest's code.
    pub pc: Option<Address>,
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    /// All of it in one line.
    pub message: String,
}

/// An address in the process; in JSON a string, for numbers there end at 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub usize);

/// What became of the state in a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    pub carried: Vec<String>,
    pub new: Vec<String>,
    pub dropped: Vec<String>,
    pub resized: Vec<Resized>,
    pub refused: Vec<Refused>,
    pub bytes: u64,
    pub translated: usize,
    pub untranslated: Vec<Untranslated>,
    /// The same in one line.
    #[serde(skip)]
    pub summary: String,
}

/// A variable whose size changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resized {
    pub name: String,
    pub from: u64,
    pub to: u64,
}

/// A variable that was not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub name: String,
    pub reason: String,
}

/// A word that still leads into an old image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Untranslated {
    pub at: String,
    pub target: String,
    pub version: u32,
}

impl Record {
    /// The record of an event, if it is one that is reported.
    pub fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Loaded { version, took, modules_verified } => Self::Loaded {
                version: *version,
                micros: micros(*took),
                modules_verified: *modules_verified,
            },
            Event::Reloaded { version, from, took, state, modules_verified } => Self::Reloaded {
                modules_verified: *modules_verified,
                version: *version,
                from: *from,
                micros: micros(*took),
                state: State::from(state),
            },
            Event::Refused(refusal) => Self::Refused {
                version: refusal.version,
                kind: snake_case(&format!("{:?}", refusal.kind)),
                reason: refusal.reason.clone(),
            },
            Event::Fault(failure) => Self::Fault(Fault::from(failure)),
            Event::RolledBack { version, from } => {
                Self::RolledBack { version: *version, from: *from }
            }
            Event::Closed { version, steps } => Self::Closed { version: *version, steps: *steps },
            _ => return None,
        })
    }

    /// The word in front of the line, and how it is printed.
    fn label(&self, palette: &Palette) -> (&'static str, Style) {
        match self {
            Self::Loaded { .. } => ("loaded", palette.good),
            Self::Reloaded { .. } => ("reloaded", palette.good),
            Self::Refused { .. } => ("refused", palette.odd),
            Self::Fault(_) => ("fault", palette.bad),
            Self::RolledBack { .. } => ("rolled back", palette.odd),
            Self::Closed { .. } => ("closed", palette.quiet),
        }
    }
}

impl Report for Record {
    fn line(&self, palette: &Palette) -> String {
        let text = match self {
            Self::Loaded { version, micros, .. } => {
                format!("version {version} in {}", milliseconds(*micros))
            }
            Self::Reloaded { version, from, micros, state, .. } => {
                let summary = &state.summary;
                format!("version {from} -> {version} in {}: {summary}", milliseconds(*micros))
            }
            Self::Refused { version, reason, .. } => format!("version {version}: {reason}"),
            Self::Fault(fault) => fault.message.clone(),
            Self::RolledBack { version, from } => format!("version {from} -> {version}"),
            Self::Closed { version: Some(version), steps } => {
                format!("version {version} after {steps} steps")
            }
            Self::Closed { version: None, steps } => {
                format!("with no version running, after {steps} steps")
            }
        };
        let (label, style) = self.label(palette);
        format!("{style}{label:<12}{style:#}{text}")
    }
}

impl From<&reloader::Failure> for Fault {
    fn from(failure: &reloader::Failure) -> Self {
        let place = failure.place.as_ref();
        let (kind, value, address, pc) = match &failure.cause {
            Cause::Fault(fault) => {
                let pc = place.map(|place| place.address).or((fault.pc != 0).then_some(fault.pc));
                (snake_case(&format!("{:?}", fault.kind)), None, fault.address, pc)
            }
            Cause::Returned(value) => ("returned".to_owned(), Some(*value), None, None),
            other => (snake_case(&format!("{other:?}")), None, None, None),
        };
        Self {
            version: failure.version,
            operation: failure.during.as_str(),
            kind,
            value,
            address: address.map(Address),
            pc: pc.map(Address),
            function: place.and_then(|place| place.function.clone()),
            file: place.and_then(|place| place.file.clone()),
            line: place.and_then(|place| place.line),
            message: failure.to_string(),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl From<&StateReport> for State {
    fn from(report: &StateReport) -> Self {
        Self {
            carried: report.carried.clone(),
            new: report.new.clone(),
            dropped: report.dropped.clone(),
            resized: report
                .resized
                .iter()
                .map(|it| Resized { name: it.name.clone(), from: it.from, to: it.to })
                .collect(),
            refused: report
                .refused
                .iter()
                .map(|it| Refused { name: it.name.clone(), reason: it.reason.clone() })
                .collect(),
            bytes: report.bytes,
            translated: report.translated,
            untranslated: report
                .untranslated
                .iter()
                .map(|it| Untranslated {
                    at: it.at.clone(),
                    target: it.target.clone(),
                    version: it.version,
                })
                .collect(),
            summary: report.to_string(),
        }
    }
}

/// An old version whose image stays in memory; for readers only, since it changes nothing that
/// runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Leftover {
    version: u32,
    why: String,
}

impl Leftover {
    /// What an event says of an image that stays, if it says that.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Retired { memory: Memory::Unmapped, .. } => None,
            Event::Retired { version, memory } => {
                Some(Self { version: *version, why: memory.to_string() })
            }
            _ => None,
        }
    }

    /// The line for it.
    pub fn line(&self, palette: &Palette) -> String {
        let Palette { quiet, .. } = palette;
        format!("{quiet}{:<12}version {} {}{quiet:#}", "memory", self.version, self.why)
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// `StackOverflow` as `stack_overflow`: the form of the library's names in JSON.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests;
