use std::time::Duration;

use super::progress::Standing;
use crate::clock::{Deadline, Moment};

/// How often a channel's thread looks at what is committed, and when it tries again after a failure.
#[derive(Debug)]
pub(super) struct Pacing {
    /// Between looks while somebody waits.
    pause: Duration,
    /// Attempts that failed in a row, and when the next one is due.
    failures: u32,
    retry_at: Option<Deadline>,
}

impl Pacing {
    /// Between looks while nobody waits. Often enough to notice a lost channel, seldom enough to leave the service's ten
    /// requests a second to the rows.
    pub(super) const IDLE_PAUSE: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Pacing {
        Pacing { pause: MIN_PAUSE, failures: 0, retry_at: None }
    }

    /// Where one commit has come, the next may come soon.
    pub(super) fn note_look(&mut self, has_progress: bool) {
        self.pause = if has_progress { MIN_PAUSE } else { (self.pause * 3 / 2).min(MAX_PAUSE) };
    }

    pub(super) fn note_success(&mut self) {
        (self.failures, self.retry_at) = (0, None);
    }

    pub(super) fn note_failure(&mut self, standing: &Standing, now: Moment) {
        let pause = match standing {
            Standing::Hindered(_) => HINDERED_PAUSE,
            _ => (FIRST_RETRY * (1 << self.failures.min(MAX_DOUBLINGS))).min(LAST_RETRY),
        };
        self.failures += 1;
        self.retry_at = Some(now.deadline(pause));
    }

    /// The next attempt need not wait for the end of a pause.
    pub(super) fn hurry(&mut self) {
        self.note_success();
        self.pause = MIN_PAUSE;
    }

    /// Until when nothing is to be sent.
    pub(super) fn retry_at(&self) -> Option<Deadline> {
        self.retry_at
    }

    pub(super) fn is_pausing(&self, now: Moment) -> bool {
        self.retry_at.is_some_and(|retry| !retry.is_reached(now))
    }

    /// Between looks while somebody waits for commits.
    pub(super) fn urgent_pause(&self) -> Duration {
        self.pause
    }
}

/// The emulator commits within tens of milliseconds; a service that takes longer is asked less and less often.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// A busy service takes seconds to commit; looking more often would only use up its request rate.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The requests themselves were retried before, for as long as the client's retry budget. Doubled with each failure.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// Producers should not wait much longer than an outage lasts.
const LAST_RETRY: Duration = Duration::from_secs(5);

/// More than it takes from the first pause to the last.
const MAX_DOUBLINGS: u32 = 8;

/// Nobody grants a privilege faster.
const HINDERED_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FakeClock};
    use crate::error::{Error, ErrorKind};

    fn standing(kind: ErrorKind) -> Standing {
        Standing::after(Error::new(kind, "it failed"))
    }

    #[test]
    fn pauses_after_failures_grow_to_five_seconds_and_are_ten_for_what_needs_a_person() {
        let clock = FakeClock::new();
        let mut pacing = Pacing::new();
        let mut pause_after = |kind| {
            pacing.note_failure(&standing(kind), clock.now());
            pacing.retry_at().unwrap().left(clock.now()).as_millis()
        };
        let pauses: Vec<_> = (0..7).map(|_| pause_after(ErrorKind::Unavailable)).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        let kinds = [ErrorKind::Refused, ErrorKind::Credentials, ErrorKind::Clock, ErrorKind::Config];
        assert_eq!(kinds.map(&mut pause_after), [10_000; 4]);
        assert_eq!([ErrorKind::Throttled, ErrorKind::Timeout, ErrorKind::Channel].map(&mut pause_after), [5000; 3]);
        for _ in 0..100 {
            pause_after(ErrorKind::Unavailable);
        }
        pacing.note_success();
        assert!(!pacing.is_pausing(clock.now()));
        pacing.note_failure(&standing(ErrorKind::Unavailable), clock.now());
        assert!(pacing.is_pausing(clock.now()));
        clock.pass(Duration::from_millis(250));
        assert!(!pacing.is_pausing(clock.now()));
    }

    #[test]
    fn who_waits_is_told_of_commits_within_milliseconds_at_first_and_within_two_seconds_later() {
        let mut pacing = Pacing::new();
        let mut pauses = Vec::new();
        for _ in 0..14 {
            pauses.push(pacing.urgent_pause().as_millis());
            pacing.note_look(false);
        }
        assert_eq!((&pauses[..4], pauses[13]), (&[20, 30, 45, 67][..], 2000));
        pacing.note_look(true);
        assert_eq!(pacing.urgent_pause().as_millis(), 20);
    }
}
