//! What a plugin has told, for those who ask later and for the host's hook.

use std::ffi::{CString, c_int, c_uint};

use reloader::{Cause, Event, Failure, FailureCode, Fault, FaultKind, RefusalKind, StateReport};

use crate::abi::{self, Sized as _};
use crate::text::c_string;

/// The last of each sort.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) failure: Option<Failure>,
    pub(crate) refusal: Option<String>,
    pub(crate) report: Option<StateReport>,
}

impl Told {
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Fault(failure) => self.failure = Some(failure.clone()),
            Event::Refused(refusal) => {
                self.refusal = Some(format!("version {}: {}", refusal.version, refusal.reason));
            }
            Event::Reloaded { state, .. } => {
                self.report = Some(state.clone());
                self.refusal = None;
            }
            Event::Loaded { .. } => self.refusal = None,
            _ => {}
        }
    }
}

/// An event as the hook gets it, and the text that it leads to.
pub(crate) fn told(event: &Event) -> (abi::Event, CString) {
    let mut it = Plain { kind: OTHER, version: 0, from: 0, failure: 0, nanoseconds: 0 };
    let nanoseconds = |took: &std::time::Duration| u64::try_from(took.as_nanos()).unwrap_or(0);
    let text = match event {
        Event::BeforeUnload { version } => {
            it = Plain { kind: BEFORE_UNLOAD, version: *version, ..it };
            format!("version {version} is about to be unloaded")
        }
        Event::Loaded { version, took, .. } => {
            it = Plain { kind: LOADED, version: *version, nanoseconds: nanoseconds(took), ..it };
            format!("version {version} runs")
        }
        Event::Reloaded { version, from, took, state, .. } => {
            let nanoseconds = nanoseconds(took);
            it = Plain { kind: RELOADED, version: *version, from: *from, nanoseconds, ..it };
            format!("version {version} took over from {from}: {state}")
        }
        Event::Refused(refusal) => {
            let failure = match refusal.kind {
                RefusalKind::State => FailureCode::STATE_INVALIDATED.0,
                _ => FailureCode::BAD_IMAGE.0,
            };
            it = Plain { kind: REFUSED, version: refusal.version, failure, ..it };
            format!("version {} is refused: {}", refusal.version, refusal.reason)
        }
        Event::Fault(failure) => {
            it = Plain { kind: FAULT, version: failure.version, failure: failure.code().0, ..it };
            failure.to_string()
        }
        Event::RolledBack { version, from } => {
            it = Plain { kind: ROLLED_BACK, version: *version, from: *from, ..it };
            format!("back from version {from} to {version}")
        }
        Event::Retired { version, memory } => {
            it = Plain { kind: RETIRED, version: *version, ..it };
            format!("version {version} is given up: {memory}")
        }
        Event::CopiesMoved { directory, reason } => {
            format!("copies are made in {} from now on: {reason}", directory.display())
        }
        Event::Closed { version, steps } => {
            it = Plain { kind: CLOSED, version: version.unwrap_or(0), ..it };
            format!("closed after {steps} steps")
        }
        _ => format!("{event:?}"),
    };
    let text = c_string(text);
    let Plain { kind, version, from, failure, nanoseconds } = it;
    let size = size_of::<abi::Event>();
    (abi::Event { size, kind, version, from, failure, nanoseconds, text: text.as_ptr() }, text)
}

struct Plain {
    kind: c_int,
    version: c_uint,
    from: c_uint,
    failure: c_int,
    nanoseconds: u64,
}

const OTHER: c_int = 0;
const BEFORE_UNLOAD: c_int = 1;
const LOADED: c_int = 2;
const RELOADED: c_int = 3;
const REFUSED: c_int = 4;
const FAULT: c_int = 5;
const ROLLED_BACK: c_int = 6;
const RETIRED: c_int = 7;
const CLOSED: c_int = 8;

/// The texts that a `reloader_fault` leads to.
#[derive(Debug, Default)]
pub(crate) struct FaultTexts {
    function: Option<CString>,
    file: Option<CString>,
    whole: CString,
}

/// A failure as `reloader_fault` has it; valid for as long as `texts` is not changed.
pub(crate) fn failed(failure: &Failure, texts: &mut FaultTexts) -> abi::Fault {
    let place = failure.place.as_ref();
    texts.function = place.and_then(|place| place.function.as_deref()).map(c_string);
    texts.file = place.and_then(|place| place.file.as_deref()).map(c_string);
    texts.whole = c_string(failure.to_string());
    let it = match &failure.cause {
        Cause::Fault(fault) => faulted(fault),
        Cause::Returned(value) => abi::Fault { kind: RETURNED, value: *value, ..abi::Fault::EMPTY },
        _ => abi::Fault { kind: kind(FaultKind::Abort), ..abi::Fault::EMPTY },
    };
    let line = place.and_then(|place| place.line).unwrap_or(0);
    let it = abi::Fault { version: failure.version, failure: failure.code().0, line, ..it };
    with_texts(it, texts)
}

/// A fault of a guarded call as `reloader_fault` has it.
pub(crate) fn guarded(fault: &Fault, texts: &mut FaultTexts) -> abi::Fault {
    // With the heap's lock held for ever, looking the place up would wait for it.
    let frame =
        if fault.taint.heap.is_suspected() { None } else { fault.place().into_iter().next() };
    texts.function = frame.as_ref().and_then(|frame| frame.function.as_deref()).map(c_string);
    texts.file = frame.as_ref().and_then(|frame| frame.file.as_deref()).map(c_string);
    texts.whole = c_string(fault.to_string());
    let line = frame.and_then(|frame| frame.line).unwrap_or(0);
    with_texts(abi::Fault { line, ..faulted(fault) }, texts)
}

fn with_texts(fault: abi::Fault, texts: &FaultTexts) -> abi::Fault {
    abi::Fault {
        function: texts.function.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
        file: texts.file.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
        text: texts.whole.as_ptr(),
        ..fault
    }
}

fn faulted(fault: &Fault) -> abi::Fault {
    let taint = fault.taint;
    let tainted = [taint.heap, taint.stdio, taint.loader].iter().any(|held| held.is_suspected());
    abi::Fault {
        kind: kind(fault.kind),
        failure: FailureCode::of_fault(fault.kind, fault.signal).0,
        signal: fault.signal,
        has_address: c_int::from(fault.address.is_some()),
        address: fault.address.unwrap_or(0) as u64,
        pc: fault.pc as u64,
        tainted: c_int::from(tainted),
        ..abi::Fault::EMPTY
    }
}

const RETURNED: c_int = 13;

fn kind(kind: FaultKind) -> c_int {
    match kind {
        FaultKind::StackOverflow => 2,
        FaultKind::Bus => 3,
        FaultKind::Illegal => 4,
        FaultKind::SystemCall => 5,
        FaultKind::IntegerDivide => 6,
        FaultKind::FloatingPoint => 7,
        FaultKind::Trap => 8,
        FaultKind::Abort => 9,
        FaultKind::Raised => 10,
        FaultKind::Deadline => 11,
        FaultKind::CxxException | FaultKind::ForeignPanic | FaultKind::ForeignException => 12,
        // Access, NonCanonical, and what is new.
        _ => 1,
    }
}
