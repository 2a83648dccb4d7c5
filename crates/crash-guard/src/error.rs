/// Why [`install`](crate::install) could not set up the guards.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no guard for this operating system and architecture yet.
    #[error("no crash guard for this platform")]
    Unsupported,
    /// [`Config::signals`](crate::Config::signals) named a signal that is not a fault.
    #[error("signal {signal}: not one that reports a fault")]
    NotAFault {
        /// The signal's number on this platform.
        signal: i32,
    },
    /// A system call failed; nothing is installed.
    #[error("{call}: {source}")]
    Os {
        /// The call that failed.
        call: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Every real-time signal has a handler, so that none is left for deadlines.
    #[error("no real-time signal is free for deadlines")]
    NoFreeSignal,
}
