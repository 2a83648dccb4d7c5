//! The ledger that the guest in `guests/ledger.c` keeps at its host's.

use std::sync::atomic::{AtomicI32, Ordering};

use reloader::{Operation, Plugin};

use crate::Build;

/// The ledger; it outlives every plugin that it is given to.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Ledger {
    calls: [AtomicI32; 4],
    build: AtomicI32,
    version: AtomicI32,
    failure: AtomicI32,
    count: AtomicI32,
    plain: AtomicI32,
    bss: AtomicI32,
}

/// What `cr_main` and the variables of the ledger's guest are made of.
const SOURCE: &str = include_str!("../guests/ledger.c");
/// Ways for a guest to fail.
const FAULTS: &str = include_str!("../guests/faults.h");

impl Ledger {
    /// An empty one; the few bytes are never given back.
    pub fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Lets the guest write in it.
    pub fn give_to(&'static self, plugin: &mut Plugin) {
        plugin.set_userdata(std::ptr::from_ref(self).cast_mut().cast());
    }

    /// How often any build was called for this.
    pub fn calls(&self, operation: Operation) -> i32 {
        self.calls[operation as usize].load(Ordering::Relaxed)
    }

    /// The build that was called last.
    pub fn build(&self) -> i32 {
        self.build.load(Ordering::Relaxed)
    }

    /// The version that it was told to be.
    pub fn version(&self) -> i32 {
        self.version.load(Ordering::Relaxed)
    }

    /// The failure that it was told of when it was last loaded.
    pub fn failure_at_load(&self) -> i32 {
        self.failure.load(Ordering::Relaxed)
    }

    /// Its tagged variable: the steps of all versions.
    pub fn count(&self) -> i32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Its variable in `.data`: 500 and the steps that its own image made.
    pub fn plain(&self) -> i32 {
        self.plain.load(Ordering::Relaxed)
    }

    /// Its variable in `.bss`: the steps that its own image made.
    pub fn bss(&self) -> i32 {
        self.bss.load(Ordering::Relaxed)
    }
}

impl Build {
    /// Build number `build` of the guest that keeps a ledger, and returns that number.
    pub fn ledger(build: i32) -> Self {
        Self::c(SOURCE).header("faults.h", FAULTS).flag(format!("-DBUILD={build}"))
    }

    /// The same in C++.
    pub fn ledger_cxx(build: i32) -> Self {
        Self::cxx(SOURCE).header("faults.h", FAULTS).flag(format!("-DBUILD={build}"))
    }

    /// Makes a ledger's guest fail in `operation` (`CR_STEP`) by one of the ways of
    /// `guests/faults.h`.
    #[must_use]
    pub fn failing(self, operation: &str, way: &str) -> Self {
        self.flag(format!("-DFAIL_IN={operation}")).flag(format!("-DFAIL_BY={way}"))
    }

    /// Makes a ledger's guest return `value` from `operation`.
    #[must_use]
    pub fn returning(self, operation: &str, value: i32) -> Self {
        self.flag(format!("-DFAIL_IN={operation}")).flag(format!("-DRETURNS={value}"))
    }
}
