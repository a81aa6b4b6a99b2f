//! Waits inside a handler that end early when the server stops.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Where the threads of delayed responses wait.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Pauses {
    /// Waits, but not longer than the server runs.
    pub(crate) fn wait(&self, wait: Duration) {
        // `None` for a time so far away that it cannot be written.
        let end = Instant::now().checked_add(wait);
        let mut stopping = self.stopping.lock();
        while !*stopping {
            let is_over = match end {
                Some(end) => self.stopped.wait_until(&mut stopping, end).timed_out(),
                None => {
                    self.stopped.wait(&mut stopping);
                    false
                }
            };
            if is_over {
                return;
            }
        }
    }

    /// Ends every wait, and those to come.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.stopped.notify_all();
    }
}
