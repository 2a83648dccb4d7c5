//! What the program is doing, where somebody waits for it.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A line on the standard error that says what is going on, once that has taken a second and if it
/// is a terminal; gone when this is dropped.
pub struct Progress {
    stage: Arc<Mutex<String>>,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins with a first stage, as in "reading x.pdb".
    pub fn begin(stage: String) -> Self {
        let stage = Arc::new(Mutex::new(stage));
        if !io::stderr().is_terminal() {
            return Self { stage, shown: None };
        }
        let (end, ended) = mpsc::channel();
        let seen = Arc::clone(&stage);
        let thread = std::thread::spawn(move || {
            let begin = Instant::now();
            let mut wait = PATIENCE;
            let mut is_shown = false;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
                let stage = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let seconds = begin.elapsed().as_secs();
                // If this fails, there is nobody to tell.
                let _ = write!(io::stderr().lock(), "\r\x1b[Kreloader: {stage} ({seconds} s)");
                is_shown = true;
                wait = AGAIN;
            }
            if is_shown {
                let _ = write!(io::stderr().lock(), "\r\x1b[K");
            }
        });
        Self { stage, shown: Some((end, thread)) }
    }

    /// Goes on to another stage.
    pub fn stage(&self, stage: String) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.shown.take() {
            drop(end);
            // A panic in it has been told already.
            let _ = thread.join();
        }
    }
}

/// How long nobody needs to be told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line is written anew.
const AGAIN: Duration = Duration::from_millis(200);
