use parking_lot::{Condvar, Mutex};

use crate::clock::{Clock, Deadline};

/// Wakes whoever waits for a pool, be it for room, for commits or for its end.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// How often something has changed.
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// To be asked for before looking, and given to [`wait_beyond`](Signal::wait_beyond) after looking in vain.
    pub(super) fn changes(&self) -> u64 {
        *self.changes.lock()
    }

    pub(super) fn notify(&self) {
        *self.changes.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits for a change after those that were seen; false if none came before the deadline.
    pub(super) fn wait_beyond(&self, seen: u64, deadline: Deadline, clock: &dyn Clock) -> bool {
        let mut changes = self.changes.lock();
        while *changes == seen {
            let left = deadline.left(clock.now());
            if left.is_zero() {
                return false;
            }
            self.changed.wait_for(&mut changes, left);
        }
        true
    }
}
