use std::time::Duration;

use crate::clock::{Clock, Deadline};

/// A wait for something that takes the service a while: looks at once, then after growing pauses, until the timeout.
#[derive(Debug)]
pub(crate) struct Wait {
    deadline: Deadline,
    next_pause: Duration,
}

impl Wait {
    pub(crate) fn new(clock: &dyn Clock, timeout: Duration) -> Wait {
        Wait { deadline: clock.now().deadline(timeout), next_pause: MIN_PAUSE }
    }

    /// There was progress: the timeout starts over.
    pub(crate) fn extend(&mut self, clock: &dyn Clock, timeout: Duration) {
        self.deadline = clock.now().deadline(timeout);
    }

    /// How long the next look may take: so a wait ends at most [`MIN_REQUEST_TIMEOUT`] after its timeout.
    pub(crate) fn request_timeout(&self, clock: &dyn Clock) -> Duration {
        self.deadline.left(clock.now()).max(MIN_REQUEST_TIMEOUT)
    }

    /// Sleeps until the next look is due; false, without sleeping, once the timeout is over.
    pub(crate) fn pause(&mut self, clock: &dyn Clock) -> bool {
        let left = self.deadline.left(clock.now());
        if left.is_zero() {
            return false;
        }
        clock.sleep(self.next_pause.min(left));
        self.next_pause = (self.next_pause * 3 / 2).min(MAX_PAUSE);
        true
    }
}

/// The emulator commits within tens of milliseconds; a service that takes longer is asked less and less often.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// A busy service takes seconds to commit; looking more often would only use up its request rate.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Even a wait without any time left looks once, and that look needs time for its response.
const MIN_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FakeClock;

    #[test]
    fn pauses_grow_from_tens_of_milliseconds_to_seconds_and_end_with_the_timeout() {
        let clock = FakeClock::new();
        let mut wait = Wait::new(&clock, Duration::from_secs(30));
        while wait.pause(&clock) {}
        let slept: Vec<_> = clock.slept().iter().map(Duration::as_millis).collect();
        assert_eq!(slept[..4], [20, 30, 45, 67]);
        assert_eq!(slept[12..15], [2000, 2000, 2000]);
        assert_eq!(clock.slept().iter().sum::<Duration>(), Duration::from_secs(30));
        assert_eq!(wait.request_timeout(&clock), MIN_REQUEST_TIMEOUT);
    }

    #[test]
    fn a_wait_without_time_does_not_sleep() {
        let clock = FakeClock::new();
        assert!(!Wait::new(&clock, Duration::ZERO).pause(&clock));
        assert!(clock.slept().is_empty());
    }

    #[test]
    fn a_wall_clock_that_is_stepped_neither_ends_nor_prolongs_a_wait() {
        let clock = FakeClock::new();
        let mut wait = Wait::new(&clock, Duration::from_secs(30));
        for step in [3600, -7200] {
            clock.step_wall(step);
            assert!(wait.pause(&clock), "{step}");
        }
        while wait.pause(&clock) {}
        assert_eq!(clock.slept().iter().sum::<Duration>(), Duration::from_secs(30));
    }

    #[test]
    fn the_longest_timeout_does_not_overflow() {
        let clock = FakeClock::new();
        let mut wait = Wait::new(&clock, Duration::MAX);
        assert!(wait.request_timeout(&clock) > Duration::from_secs(365 * 24 * 3600));
        assert!(wait.pause(&clock));
    }
}
