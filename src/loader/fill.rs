use std::time::Duration;

use crate::clock::{Clock, Moment};

/// When a batch is full, or has waited long enough: a slow source does not hold back the rows it has given.
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

    pub(super) fn looks(&self) -> Looks<'_> {
        Looks { clock: self.clock, last: self.began, step: 1, due: 1 }
    }
}

/// When to look at the clock: after every row while they come slowly, after a few where looking would cost something.
pub(super) struct Looks<'c> {
    clock: &'c dyn Clock,
    last: Moment,
    step: usize,
    due: usize,
}

impl Looks<'_> {
    pub(super) fn is_due(&mut self, rows: usize) -> bool {
        if rows < self.due {
            return false;
        }
        let now = self.clock.now();
        self.step = if now.since(self.last) < QUICK { (self.step * 2).min(MAX_STEP) } else { 1 };
        (self.last, self.due) = (now, rows + self.step);
        true
    }
}

/// As long as a row may wait for others to fill its request.
pub(super) const MAX_FILL_TIME: Duration = Duration::from_secs(1);

/// Looking at the clock costs a fraction of encoding this many rows.
const MAX_STEP: usize = 16;

/// Rows that come so quickly cannot make a batch overdue before the next look.
const QUICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FakeClock;

    #[test]
    fn slow_rows_are_looked_at_one_by_one_and_quick_ones_now_and_then() {
        let clock = FakeClock::new();
        let fill = Fill::new(1, &clock);
        let mut looks = fill.looks();
        let quick = (1..=1000).filter(|rows| looks.is_due(*rows)).count();
        assert!(quick < 80, "{quick}");
        let slow = (1001..=1100).filter(|rows| {
            clock.pass(Duration::from_millis(500));
            looks.is_due(*rows)
        });
        assert!(slow.count() > 80);
        assert!(fill.is_overdue());
    }
}
