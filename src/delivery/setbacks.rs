use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Recoveries of a channel that brought no progress, counted by what made them necessary.
#[derive(Debug, Default)]
pub(super) struct Setbacks {
    /// Requests that were committed when the last recovery began; more of them are progress.
    committed_requests: u64,
    /// The service said that the channel was lost.
    losses: u32,
    /// The service failed, or was out of reach.
    outages: u32,
}

impl Setbacks {
    /// How long to wait before the channel is reopened for this cause, or why it should not be. After giving up, the count
    /// starts over.
    pub(super) fn pause_before_reopening(&mut self, cause: &Error, committed_requests: u64) -> Result<Duration, Error> {
        if committed_requests > self.committed_requests {
            *self = Setbacks { committed_requests, ..Setbacks::default() };
        }
        let is_outage = is_outage(cause);
        let (count, most) = if is_outage { (self.outages, MAX_OUTAGES) } else { (self.losses, MAX_LOSSES) };
        if count < most {
            return Ok(count.checked_sub(1).map_or(Duration::ZERO, |doublings| FIRST_PAUSE * 2u32.pow(doublings)));
        }
        (self.losses, self.outages) = (0, 0);
        Err(if is_outage { still_failing(cause) } else { still_lost(cause) })
    }

    /// An outage may last, so each call of the caller's tries as often as the first.
    pub(super) fn forget_outages(&mut self) {
        self.outages = 0;
    }

    /// The channel was reopened. Where that fails nothing is counted: a service out of reach is no sign of a second writer.
    pub(super) fn note_reopening(&mut self, cause: &Error) {
        if is_outage(cause) {
            self.outages += 1;
        } else {
            self.losses += 1;
        }
    }
}

fn is_outage(cause: &Error) -> bool {
    cause.kind() == ErrorKind::Unconfirmed
}

fn still_failing(cause: &Error) -> Error {
    let happened = format!("appends kept failing while it was reopened {MAX_OUTAGES} times; the last failure");
    cause.clone().into_kind(ErrorKind::Unavailable, &happened).advise("try again later")
}

fn still_lost(cause: &Error) -> Error {
    let happened = format!("reopening it {MAX_LOSSES} times brought no progress; the last cause");
    cause
        .clone()
        .into_kind(ErrorKind::Channel, &happened)
        .advise("look for a second writer that uses the same channel name")
}

/// A few can follow each other by chance; a second writer causes them without end.
const MAX_LOSSES: u32 = 5;

/// Each takes as long as the retry budget, two minutes by default: the caller has to learn of an outage some time.
const MAX_OUTAGES: u32 = 2;

/// Doubled with each reopening that brings no progress, so that all of them together take about eight seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(setbacks: &mut Setbacks, cause: &Error, committed_requests: u64) -> (Vec<u128>, Error) {
        let mut pauses = Vec::new();
        loop {
            match setbacks.pause_before_reopening(cause, committed_requests) {
                Ok(pause) => pauses.push(pause.as_millis()),
                Err(error) => return (pauses, error),
            }
            setbacks.note_reopening(cause);
        }
    }

    #[test]
    fn a_lost_channel_is_given_up_after_five_reopenings_and_an_outage_after_two() {
        let mut setbacks = Setbacks::default();
        let lost = Error::new(ErrorKind::Channel, "the token is stale").with_status(400);
        let (waited, error) = pauses(&mut setbacks, &lost, 0);
        assert_eq!((waited, error.kind()), (vec![0, 500, 1000, 2000, 4000], ErrorKind::Channel));
        assert_eq!(
            error.to_string(),
            "reopening it 5 times brought no progress; the last cause: the token is stale (HTTP 400); look for a second \
             writer that uses the same channel name"
        );
        let failed = Error::new(ErrorKind::Unavailable, "busy").with_status(503).into_unconfirmed();
        let (waited, error) = pauses(&mut setbacks, &failed, 0);
        assert_eq!((waited, error.kind(), error.is_retryable()), (vec![0, 500], ErrorKind::Unavailable, true));
        assert_eq!((error.status(), error.to_string().contains("busy (HTTP 503); try again later")), (Some(503), true));
    }

    #[test]
    fn after_progress_or_giving_up_the_count_starts_over() {
        let mut setbacks = Setbacks::default();
        let lost = Error::new(ErrorKind::Channel, "stale");
        for committed_requests in [0, 0, 1, 7] {
            assert_eq!(pauses(&mut setbacks, &lost, committed_requests).0.len(), 5);
        }
        setbacks.note_reopening(&lost);
        setbacks.note_reopening(&lost);
        assert_eq!(pauses(&mut setbacks, &lost, 8).0.len(), 5);
        let failed = Error::new(ErrorKind::Unavailable, "busy").into_unconfirmed();
        setbacks.note_reopening(&failed);
        setbacks.forget_outages();
        assert_eq!(pauses(&mut setbacks, &failed, 8).0.len(), 2);
    }
}
