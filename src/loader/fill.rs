use std::time::Duration;

use crate::clock::{Clock, Moment};

/// When a batch is full, or has waited long enough: a slow file does not hold back the rows it has given.
pub(super) struct Fill<'c> {
    pub(super) max_bytes: usize,
    clock: &'c dyn Clock,
    began: Moment,
}

impl<'c> Fill<'c> {
    pub(super) fn new(max_bytes: usize, clock: &'c dyn Clock) -> Fill<'c> {
        Fill { max_bytes, clock, began: clock.now() }
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.clock.now().since(self.began) >= MAX_FILL_TIME
    }
}

/// As long as a row may wait for others to fill its request.
pub(super) const MAX_FILL_TIME: Duration = Duration::from_secs(1);
