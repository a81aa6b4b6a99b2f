use std::time::Duration;

use crate::clock::Moment;

/// Spaces the appends of one channel after the service has throttled them, and closes the gap as it recovers.
#[derive(Debug, Default)]
pub(super) struct Pace {
    gap: Duration,
    /// When the last append began.
    last: Option<Moment>,
}

impl Pace {
    /// How long to wait before the next append begins.
    pub(super) fn wait(&self, now: Moment) -> Duration {
        self.last.map_or(Duration::ZERO, |last| self.gap.saturating_sub(now.since(last)))
    }

    pub(super) fn begin(&mut self, now: Moment) {
        self.last = Some(now);
    }

    /// The append got through, after having been put off or at once.
    pub(super) fn end(&mut self, was_throttled: bool) {
        self.gap = match was_throttled {
            true => (self.gap * 2).clamp(MIN_GAP, MAX_GAP),
            false if self.gap < MIN_GAP => Duration::ZERO,
            false => self.gap * 3 / 4,
        };
    }
}

/// The service's limit is ten requests a second and channel.
const MIN_GAP: Duration = Duration::from_millis(100);

/// Bounds how long a channel stays slow after the service has recovered.
const MAX_GAP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, FakeClock};

    #[test]
    fn an_untroubled_channel_never_waits() {
        let (clock, mut pace) = (FakeClock::new(), Pace::default());
        for _ in 0..3 {
            assert_eq!(pace.wait(clock.now()), Duration::ZERO);
            pace.begin(clock.now());
            pace.end(false);
        }
    }

    #[test]
    fn the_gap_doubles_while_throttled_and_closes_afterwards() {
        let (clock, mut pace) = (FakeClock::new(), Pace::default());
        pace.begin(clock.now());
        let gaps: Vec<_> = (0..8)
            .map(|_| {
                pace.end(true);
                pace.wait(clock.now()).as_millis()
            })
            .collect();
        assert_eq!(gaps, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        clock.pass(Duration::from_secs(4));
        assert_eq!(pace.wait(clock.now()), Duration::from_secs(1), "time passed counts");
        (0..20).for_each(|_| pace.end(false));
        assert_eq!(pace.gap, Duration::ZERO);
    }
}
