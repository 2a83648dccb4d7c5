//! A plugin as C sees it.

use std::ffi::{CStr, CString, c_int, c_uint};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reloader::{
    Builder, Cause, During, Event, FailureCode, Retreat, Snapshot, StatePolicy, StateReport, Step,
    Watch,
};

use crate::abi::{self, Sized as _};
use crate::looks::Looks;
use crate::status::{Problem, Status};
use crate::text::{c_string, say};
use crate::told::{FaultTexts, Told, failed};

/// A plugin with what was told of it.
pub(crate) struct Plugin {
    pub(crate) plugin: reloader::Plugin,
    told: Arc<Mutex<Told>>,
    looks: Looks,
    /// What the last report leads to.
    report: CString,
    /// What the last fault leads to.
    fault: FaultTexts,
}

/// What stands in `reloader_options`, without pointers.
pub(crate) struct Settings<'a> {
    pub(crate) entry: Option<&'a CStr>,
    pub(crate) temp_dir: Option<&'a Path>,
    pub(crate) plain: abi::Options,
}

impl Plugin {
    pub(crate) fn open(
        path: &Path,
        settings: &Settings<'_>,
        mut hook: impl FnMut(&Event) + Send + 'static,
    ) -> Result<Self, Problem> {
        let told = Arc::new(Mutex::new(Told::default()));
        let noted = Arc::clone(&told);
        let builder = settings.apply_to(reloader::Plugin::builder(path))?.on_event(move |event| {
            lock(&noted).note(event);
            hook(event);
        });
        Ok(Self {
            plugin: builder.open()?,
            told,
            looks: Looks::new(),
            report: CString::default(),
            fault: FaultTexts::default(),
        })
    }

    pub(crate) fn step(&mut self) -> (Status, c_int) {
        match self.plugin.step() {
            Step::Ran(value) => (Status::Ok, value),
            Step::Failed(_) => {
                self.say_failure();
                (Status::Failed, self.returned().unwrap_or(0))
            }
            Step::Idle => {
                self.say_refusal();
                (Status::Idle, 0)
            }
        }
    }

    /// A step with the numbers of cr.
    #[inline]
    pub(crate) fn update(&mut self, check: bool) -> c_int {
        if self.plugin.context().failure != FailureCode::NONE {
            return self.update_after_failure(check);
        }
        match self.looked(check) {
            Step::Ran(value) => value,
            step => self.number_of(step),
        }
    }

    #[inline]
    fn looked(&mut self, check: bool) -> Step {
        if !check {
            return self.plugin.step_without_check();
        }
        if self.looks.take(self.plugin.steps()) {
            self.plugin.look();
        }
        self.plugin.step()
    }

    #[cold]
    fn update_after_failure(&mut self, check: bool) -> c_int {
        let step = if self.plugin.is_running() {
            // It was told once.
            self.plugin.context_mut().failure = FailureCode::NONE;
            self.looked(check)
        } else if self.plugin.version().is_some() {
            // What is gone back to runs before anything new does.
            self.plugin.step_without_check()
        } else {
            self.plugin.context_mut().failure = FailureCode::INITIAL_FAILURE;
            self.looked(check)
        };
        match step {
            Step::Ran(value) => value,
            step => self.number_of(step),
        }
    }

    #[cold]
    fn number_of(&mut self, step: Step) -> c_int {
        self.looks.hurry();
        let failed = matches!(step, Step::Failed(_));
        if failed {
            self.say_failure();
        } else {
            self.say_refusal();
        }
        if self.plugin.version().is_none() {
            self.plugin.context_mut().version = 0;
        }
        if self.plugin.context().failure == FailureCode::NONE {
            self.plugin.context_mut().failure = FailureCode::BAD_IMAGE;
        }
        let during = lock(&self.told).failure.as_ref().map(|failure| failure.during);
        match during {
            Some(During::Step) if failed => self.returned().unwrap_or(STEP_FAILED),
            _ => NOTHING_RAN,
        }
    }

    pub(crate) fn roll_back(&mut self, version: c_uint) -> Result<(), Problem> {
        let version = match version {
            0 => self.plugin.history().last().copied().ok_or_else(|| {
                Problem::new(Status::NotFound, "there is no version to go back to")
            })?,
            version => version,
        };
        Ok(self.plugin.roll_back_to(version)?)
    }

    pub(crate) fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Problem> {
        let report = self.plugin.restore(snapshot)?;
        lock(&self.told).report = Some(report);
        Ok(())
    }

    /// The plugin and its last state report; the text lives until the next call of this.
    pub(crate) fn state(&mut self) -> abi::Report {
        let report = lock(&self.told).report.clone();
        self.report = c_string(report.as_ref().map(ToString::to_string).unwrap_or_default());
        let report = report.unwrap_or_default();
        let count = |number: usize| c_uint::try_from(number).unwrap_or(c_uint::MAX);
        let StateReport { carried, new, dropped, resized, refused, untranslated, .. } = &report;
        abi::Report {
            version: self.plugin.version().unwrap_or(0),
            oldest: self.plugin.history().first().copied().unwrap_or(0),
            steps: self.plugin.steps(),
            bytes: report.bytes,
            carried: count(carried.len()),
            added: count(new.len()),
            dropped: count(dropped.len()),
            resized: count(resized.len()),
            refused: count(refused.len()),
            translated: count(report.translated),
            untranslated: count(untranslated.len()),
            text: self.report.as_ptr(),
            ..abi::Report::EMPTY
        }
    }

    /// The last failure; the texts live until the next call of this.
    pub(crate) fn last_fault(&mut self) -> Option<abi::Fault> {
        let failure = lock(&self.told).failure.clone()?;
        Some(failed(&failure, &mut self.fault))
    }

    /// What the guest returned when it failed last, if that was how.
    fn returned(&self) -> Option<c_int> {
        match lock(&self.told).failure.as_ref()?.cause {
            Cause::Returned(value) => Some(value),
            _ => None,
        }
    }

    fn say_failure(&self) {
        if let Some(failure) = &lock(&self.told).failure {
            say(&failure.to_string());
        }
    }

    fn say_refusal(&self) {
        let told = lock(&self.told);
        say(told.refusal.as_deref().unwrap_or("no version can run yet"));
    }
}

/// What `cr_plugin_update` returns when a step failed.
const STEP_FAILED: c_int = -1;
/// What it returns when a load or an unload failed, or when there is nothing to run.
pub(crate) const NOTHING_RAN: c_int = -2;

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Settings<'_> {
    fn apply_to(&self, mut builder: Builder) -> Result<Builder, Problem> {
        let abi::Options { flags, policy, history, poll, deadline, search_limit, .. } = self.plain;
        if flags & !abi::ALL_FLAGS != 0 {
            return Err(Problem::argument(format!("the flags {flags:#x} are not known")));
        }
        let has = |flag| flags & flag != 0;
        builder = builder
            .state(self.policy(policy)?)
            .untagged_bss(has(abi::UNTAGGED | abi::AS_CR))
            .fresh_objects(has(abi::AS_CR))
            .carried_by_name(has(abi::AS_CR))
            .refuse_hidden_state(has(abi::AS_CR))
            .retreat(if has(abi::AS_CR) { Retreat::Previous } else { Retreat::Newest })
            .retry_known_bad(has(abi::RETRY_KNOWN_BAD | abi::AS_CR))
            .watch_dependencies(!has(abi::IGNORE_DEPENDENCIES))
            .may_be_missing(has(abi::MAY_BE_MISSING));
        if let Some(entry) = self.entry {
            builder = builder.entry(utf8(entry, "the entry function's name")?);
        }
        if let Some(directory) = self.temp_dir {
            builder = builder.temp_dir(directory);
        }
        if history != 0 {
            builder = builder.history(usize::try_from(history).unwrap_or(0));
        }
        if deadline != 0 {
            builder = builder.deadline(Duration::from_nanos(deadline));
        }
        if search_limit != 0 {
            let limit = if search_limit == u64::MAX { 0 } else { search_limit };
            builder = builder.search_limit(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(builder.watch(match poll {
            _ if has(abi::MANUAL) => Watch::Manual,
            0 => Watch::Notify,
            every => Watch::Poll(Duration::from_millis(every.into())),
        }))
    }

    fn policy(&self, policy: c_uint) -> Result<StatePolicy, Problem> {
        Ok(match policy {
            0 => StatePolicy::BySymbol,
            1 => StatePolicy::Identical,
            2 => StatePolicy::SameSize,
            3 => StatePolicy::Fits,
            4 => StatePolicy::Off,
            _ => return Err(Problem::argument(format!("there is no state policy {policy}"))),
        })
    }
}

pub(crate) fn utf8<'a>(text: &'a CStr, what: &str) -> Result<&'a str, Problem> {
    text.to_str().map_err(|_| Problem::argument(format!("{what} is not UTF-8")))
}
