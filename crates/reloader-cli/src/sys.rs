//! What the program asks of the operating system itself.
//!
//! Each platform has the same four functions:
//!
//! - `on_stop(stopping)`: calls `stopping` on a thread of its own for the first SIGINT or SIGTERM;
//!   a second one ends the process as if nobody had caught it, so that a guest in an endless loop
//!   can still be interrupted.
//! - `take_stdout()`: the standard output for the program alone; what anybody else in the process
//!   prints goes to the standard error from then on.
//! - `reader_is_gone(output)`: whether `output` is a pipe that nobody reads any more.
//! - `wait_while_read(source, output)`: waits until there is something to read in `source`, or
//!   `output` is a pipe that nobody reads any more; which of them, the caller finds out.
//! - `new_file(directory)`: a file without a lasting name yet, for whomever the user's mask lets.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{new_file, on_stop, reader_is_gone, take_stdout, wait_while_read};

#[cfg(not(unix))]
mod unsupported;
#[cfg(not(unix))]
pub use unsupported::{new_file, on_stop, reader_is_gone, take_stdout, wait_while_read};
