use std::cell::Cell;
use std::time::Duration;

use super::{Request, Route};
use crate::clock::Moment;
use crate::error::one_line;

/// The one warning about a request that takes long, so that a person who waits learns why.
pub(crate) struct Notice<'n> {
    attempted: &'n str,
    route: &'n Route,
    began: Moment,
    is_given: Cell<bool>,
}

impl<'n> Notice<'n> {
    /// For a request that begins now.
    pub(crate) fn new(request: &'n Request<'_>, route: &'n Route, now: Moment) -> Notice<'n> {
        Notice { attempted: &request.attempted, route, began: now, is_given: Cell::new(false) }
    }

    /// Before a pause that follows this attempt, counted from one; retries go on for at most this time.
    pub(super) fn pausing(&self, attempt: u32, cause: &str, left: Duration, now: Moment) {
        if attempt >= LOUD_ATTEMPT || self.is_late(now) {
            self.give(cause, left);
        }
    }

    /// Between two reads of a response that goes on for at most this time.
    pub(super) fn reading(&self, left: Duration, now: Moment) {
        if self.is_late(now) {
            self.give(&format!("the response from {} arrives slowly", self.route), left);
        }
    }

    fn is_late(&self, now: Moment) -> bool {
        now.since(self.began) >= SILENCE
    }

    fn give(&self, cause: &str, left: Duration) {
        if !self.is_given.replace(true) {
            let (attempted, cause) = (one_line(self.attempted), one_line(cause));
            log::warn!("still trying to {attempted}: {cause}; this goes on for at most {} s", left.as_secs());
        }
    }
}

/// Two failures in a row are common during a failover; a third is worth a word.
const LOUD_ATTEMPT: u32 = 3;

/// About as long as a person looks at a silent program before wondering.
const SILENCE: Duration = Duration::from_secs(5);
