use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::run::foreign;
use crate::error::Error;
use crate::rows::Batch;

/// What is dealt to one of several channels and not yet taken by its run: at most a batch.
///
/// The dealer gives rows in order, the run takes them together. Once closed, by whichever side, it takes in nothing more, so
/// what was taken out of it has no gap.
pub(super) struct Hand {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the dealer is to do with a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Want {
    Row,
    /// The channel has it already.
    Nothing,
    /// Nobody takes rows here.
    Gone,
}

/// A hand as its run holds it, which closes it by letting go.
pub(super) struct Dealt<'h>(&'h Hand);

/// Closes hands when it goes, also by a panic: whoever waits at one of them waits no longer.
pub(super) struct Closing<'h>(pub(super) &'h [Hand]);

#[derive(Default)]
struct State {
    /// After which position the channel resumes; none before it is open.
    landed: Option<u64>,
    /// Rows up to there that the dealer has passed over.
    skipped: u64,
    /// The dealer has met a row at that position.
    is_confirmed: bool,
    batch: Batch,
    /// The next row is one too many.
    is_full: bool,
    is_closed: bool,
}

/// The dealer's side.
impl Hand {
    pub(super) fn new(limit: usize) -> Hand {
        Hand { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// What to do with the row at a position, if there is one. Waits until the channel is open.
    pub(super) fn want(&self, position: u64) -> Want {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.landed.is_none() && !state.is_closed);
        match state.landed {
            Some(landed) if !state.is_closed && position <= landed => Want::Nothing,
            Some(landed) if !state.is_closed && (landed == 0 || state.is_confirmed) => Want::Row,
            _ => {
                self.close_locked(state);
                Want::Gone
            }
        }
    }

    /// Notes that there is a row at a position where none is wanted.
    pub(super) fn pass_over(&self, position: u64) {
        let mut state = self.state.lock();
        state.skipped += 1;
        if state.landed == Some(position) {
            state.is_confirmed = true;
            self.changed.notify_all();
        }
    }

    /// Puts the only row of a batch in; waits for room.
    pub(super) fn give(&self, position: u64, row: &Batch) {
        let mut state = self.state.lock();
        if !state.batch.is_empty() && state.batch.bytes() + row.bytes() > self.limit {
            state.is_full = true;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| state.is_full && !state.is_closed);
        }
        if state.is_closed {
            return;
        }
        let is_first = state.batch.is_empty();
        state.batch.push_all(row);
        state.batch.mark(position);
        state.is_full = state.batch.bytes() >= self.limit;
        if is_first || state.is_full {
            self.changed.notify_all();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    fn close(&self) {
        self.close_locked(self.state.lock());
    }

    fn close_locked(&self, mut state: MutexGuard<'_, State>) {
        state.is_closed = true;
        self.changed.notify_all();
    }
}

/// The run's side.
impl<'h> Dealt<'h> {
    pub(super) fn of(hand: &'h Hand) -> Dealt<'h> {
        Dealt(hand)
    }

    /// Tells what the channel has; waits until the dealer has come as far, and hears how many rows that were.
    pub(super) fn resume_after(&self, landed: u64) -> Result<u64, Error> {
        let Hand { state, changed, .. } = self.0;
        let mut state = state.lock();
        state.landed = Some(landed);
        changed.notify_all();
        if landed == 0 {
            return Ok(0);
        }
        changed.wait_while(&mut state, |state| !state.is_confirmed && !state.is_closed);
        if state.is_confirmed { Ok(state.skipped) } else { Err(foreign(landed)) }
    }

    /// Exchanges an empty batch for a full one, or for what there is when no more comes in time; empty is the end.
    pub(super) fn take(&self, batch: &mut Batch, max_wait: Duration) {
        let Hand { state, changed, .. } = self.0;
        let mut state = state.lock();
        changed.wait_while(&mut state, |state| state.batch.is_empty() && !state.is_closed);
        changed.wait_while_for(&mut state, |state| !state.is_full && !state.is_closed, max_wait);
        std::mem::swap(&mut state.batch, batch);
        state.is_full = false;
        changed.notify_all();
    }
}

impl Drop for Dealt<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(Hand::close);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn row(id: u64) -> Batch {
        let mut row = Batch::new();
        row.push(&serde_json::json!({ "ID": id })).unwrap();
        row
    }

    fn taken(dealt: &Dealt<'_>, max_wait: Duration) -> String {
        let mut batch = Batch::new();
        dealt.take(&mut batch, max_wait);
        String::from_utf8(batch.piece().text().to_vec()).unwrap()
    }

    #[test]
    fn rows_that_wait_are_taken_when_no_more_come_in_time() {
        let hand = Hand::new(1000);
        let dealt = Dealt::of(&hand);
        dealt.resume_after(0).unwrap();
        hand.give(1, &row(1));
        hand.give(2, &row(2));
        assert_eq!(taken(&dealt, Duration::ZERO), "{\"ID\":1}\n{\"ID\":2}\n");
        hand.close();
        assert_eq!(taken(&dealt, Duration::MAX), "");
    }

    #[test]
    fn a_full_hand_is_taken_at_once_and_holds_up_the_dealer_until_then() {
        let hand = Hand::new(20);
        let dealt = Dealt::of(&hand);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _closing = Closing(std::slice::from_ref(&hand));
                (1..=5).for_each(|id| hand.give(id, &row(id)));
            });
            assert_eq!(taken(&dealt, Duration::MAX), "{\"ID\":1}\n{\"ID\":2}\n");
            assert_eq!(taken(&dealt, Duration::MAX), "{\"ID\":3}\n{\"ID\":4}\n");
            assert_eq!(taken(&dealt, Duration::MAX), "{\"ID\":5}\n");
            assert_eq!(taken(&dealt, Duration::MAX), "");
        });
    }

    #[test]
    fn a_longer_row_than_the_limit_goes_alone() {
        let hand = Hand::new(5);
        let dealt = Dealt::of(&hand);
        thread::scope(|scope| {
            scope.spawn(|| (1..=2).for_each(|id| hand.give(id, &row(id))));
            assert_eq!(taken(&dealt, Duration::MAX), "{\"ID\":1}\n");
            assert_eq!(taken(&dealt, Duration::MAX), "{\"ID\":2}\n");
        });
    }

    #[test]
    fn what_the_channel_has_is_passed_over() {
        let hand = Hand::new(1000);
        let dealt = Dealt::of(&hand);
        thread::scope(|scope| {
            let resumed = scope.spawn(|| dealt.resume_after(4));
            for position in [1, 2, 4] {
                assert_eq!(hand.want(position), Want::Nothing);
                hand.pass_over(position);
            }
            assert_eq!(resumed.join().unwrap().unwrap(), 3);
        });
        assert_eq!(hand.want(5), Want::Row);
    }

    #[test]
    fn a_position_without_a_row_is_foreign() {
        let after_it = Hand::new(1000);
        let at_the_end = Hand::new(1000);
        thread::scope(|scope| {
            let resumed = [&after_it, &at_the_end].map(|hand| scope.spawn(|| Dealt::of(hand).resume_after(4)));
            assert_eq!(after_it.want(3), Want::Nothing);
            after_it.pass_over(3);
            assert_eq!(after_it.want(5), Want::Gone);
            assert_eq!(at_the_end.want(1), Want::Nothing);
            at_the_end.close();
            assert!(resumed.into_iter().all(|resumed| resumed.join().unwrap().is_err()));
        });
    }

    #[test]
    fn a_hand_that_was_let_go_holds_up_nobody() {
        let hand = Hand::new(5);
        drop(Dealt::of(&hand));
        assert_eq!(hand.want(1), Want::Gone);
        hand.give(1, &row(1));
        hand.give(2, &row(2));
        assert!(hand.is_closed());
    }
}
