use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The service's clock: the machine's, plus an offset that a test can set.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_seconds: AtomicI64,
}

impl Clock {
    pub(crate) fn set_offset(&self, seconds: i64) {
        self.offset_seconds.store(seconds.clamp(-MAX_OFFSET_SECONDS, MAX_OFFSET_SECONDS), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> SystemTime {
        let offset = self.offset_seconds.load(Ordering::Relaxed);
        let shift = Duration::from_secs(offset.unsigned_abs());
        let now = SystemTime::now();
        let shifted = if offset < 0 { now.checked_sub(shift) } else { now.checked_add(shift) };
        // Dates before 1970 have no HTTP form. Only a machine whose own clock is far off comes here.
        shifted.filter(|time| *time >= UNIX_EPOCH).unwrap_or(now)
    }

    pub(crate) fn unix_ms(&self) -> i64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Twenty years: an HTTP date must stay within its four digits of a year.
const MAX_OFFSET_SECONDS: i64 = 20 * 366 * 86_400;
