//! The wish to end, which also ends every wait.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::remark;
use crate::sys;

/// Whether the user wants the program to end, and a way to wait that notices at once.
pub struct Stop {
    wished: Receiver<()>,
    /// Keeps the channel open where no signal ever comes.
    _keep: Sender<()>,
}

impl Stop {
    /// Catches SIGINT and SIGTERM from now on.
    pub fn install() -> io::Result<Self> {
        let (sender, wished) = mpsc::channel();
        let wish = sender.clone();
        sys::on_stop(move || {
            // The other side is gone only when the program is ending anyway.
            let _ = wish.send(());
            thread::sleep(PATIENCE);
            remark(
                "still waiting for a call into the library; interrupt once more to end without closing it \
                 (--deadline bounds such calls)",
            );
        })?;
        Ok(Self { wished, _keep: sender })
    }

    /// Waits until `moment`, or less if the user wants to end; says whether that is so.
    pub fn wait_until(&self, moment: Instant) -> bool {
        let rest = moment.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            // Even a wait that is over at once costs more than most steps.
            return self.wished.try_recv().is_ok();
        }
        !matches!(self.wished.recv_timeout(rest), Err(RecvTimeoutError::Timeout))
    }
}

/// How long the program may take to end before it says what it is waiting for.
const PATIENCE: Duration = Duration::from_secs(1);
