//! What the program asks of the operating system itself.
//!
//! Each platform has the same three functions:
//!
//! - `on_stop(stopping)`: calls `stopping` on a thread of its own for the first SIGINT or SIGTERM;
//!   a second one ends the process as if nobody had caught it, so that a guest in an endless loop
//!   can still be interrupted.
//! - `take_stdout()`: the standard output for the program alone; what anybody else in the process
//!   prints goes to the standard error from then on.
//! - `reader_is_gone(output)`: whether `output` is a pipe that nobody reads any more.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{on_stop, reader_is_gone, take_stdout};

#[cfg(not(unix))]
mod unsupported;
#[cfg(not(unix))]
pub use unsupported::{on_stop, reader_is_gone, take_stdout};
