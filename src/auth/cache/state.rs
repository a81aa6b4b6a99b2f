//! What a cache knows: the token, the fetch in progress, the failure that is reported again.

use std::sync::Arc;

use super::fetch::{Fetch, Fetched};
use super::margins::{Deadlines, backoff, remembered, trial};
use crate::auth::{Grant, Token};
use crate::clock::{Deadline, Moment};
use crate::error::{Error, ErrorKind};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) held: Option<Held>,
    /// How many different tokens there have been.
    pub(super) generation: u64,
    /// How many fetches have brought no token.
    pub(super) failures: u64,
    pub(super) fetch: Option<Arc<Fetch>>,
    pub(super) failed: Option<Failed>,
    /// The token that the service refused, until the next fetch passes it to the source.
    pub(super) refused: Option<Arc<Grant>>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) deadlines: Deadlines,
    /// No early renewal before this.
    pub(super) retry_at: Option<Deadline>,
    /// A bare denial has had its renewal: of this token, or of the one before it.
    pub(super) denied: bool,
    /// That renewal failed; from then on there may be another.
    pub(super) retry_denial_at: Option<Deadline>,
}

/// A failure that is reported again instead of being provoked again.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) until: Deadline,
    /// The token that the service refused and that has no replacement, if it is that.
    pub(super) refused: Option<Arc<Grant>>,
}

impl Held {
    /// The source returned the same token, perhaps with a later expiry.
    pub(super) fn keep(&mut self, grant: Grant, deadlines: Deadlines, now: Moment) -> Token {
        let is_reread = grant.reread_after.is_some();
        if is_reread || deadlines.hard.is_after(self.deadlines.hard) {
            self.token.grant = Arc::new(grant);
            self.deadlines = deadlines;
        }
        let backoff = backoff(self.deadlines.hard.left(now), None);
        self.retry_at = (!is_reread).then(|| now.deadline(backoff));
        self.token.clone()
    }
}

impl State {
    pub(super) fn fresh(&self, now: Moment) -> Option<&Token> {
        let held = self.held.as_ref()?;
        (!held.deadlines.soft.is_past(now)).then_some(&held.token)
    }

    pub(super) fn usable(&self, now: Moment) -> Option<Token> {
        let held = self.held.as_ref()?;
        (!held.deadlines.hard.is_past(now)).then(|| held.token.clone())
    }

    pub(super) fn backs_off(&self, now: Moment) -> bool {
        self.held.as_ref().and_then(|held| held.retry_at).is_some_and(|at| !at.is_reached(now))
    }

    pub(super) fn remembered_failure(&self, now: Moment) -> Result<(), Error> {
        let Some(Failed { error, until, .. }) = self.failed.as_ref().filter(|failed| !failed.until.is_reached(now))
        else {
            return Ok(());
        };
        let left = error.retry_after().map(|_| until.left(now));
        Err(error.clone().with_retry_after(left))
    }

    /// What fetches have led to since there were so many, if it can be used.
    pub(super) fn result_since(&self, generation: u64, failures: u64, now: Moment) -> Option<Fetched> {
        match self.fresh(now).filter(|token| token.generation > generation) {
            Some(token) => Some(Ok(Some(token.clone()))),
            None if self.failures == failures => None,
            None if self.has_no_other(now) => Some(Ok(None)),
            None => self.remembered_failure(now).err().map(Err),
        }
    }

    pub(super) fn running(&mut self) -> Option<Arc<Fetch>> {
        // After a fork, the thread that would finish it does not exist in this process.
        self.fetch.take_if(|fetch| fetch.is_of_another_process());
        self.fetch.clone()
    }

    pub(super) fn discard(&mut self, refused: &Token) {
        if let Some(held) = self.held.take_if(|held| held.token.generation == refused.generation) {
            self.refused = Some(held.token.grant);
            if let Some(fetch) = self.running() {
                fetch.mark_outdated();
            }
        }
    }

    /// The token was fetched for a refused one. If it is refused too before it was ever accepted, another would hardly help.
    pub(super) fn put_on_trial(&mut self, token: Token, now: Moment) -> Token {
        let trial = Some(now.deadline(trial(token.grant.lifetime)));
        if let Some(held) = self.held.as_mut().filter(|held| held.token.generation == token.generation) {
            held.token.trial = trial;
        }
        Token { trial, ..token }
    }

    /// Whether the token is the current one, and its refusal says nothing that the one before it did not.
    pub(super) fn is_on_trial(&self, refused: &Token, now: Moment) -> bool {
        let held = self.held.as_ref().filter(|held| held.token.generation == refused.generation);
        held.and_then(|held| held.token.trial).is_some_and(|until| !until.is_reached(now))
    }

    /// The source is asked again for the refused token only when its refusal is forgotten.
    pub(super) fn has_no_other(&self, now: Moment) -> bool {
        let of_refusal = self.failed.as_ref().filter(|failed| failed.refused.is_some());
        self.held.is_none() && of_refusal.is_some_and(|failed| !failed.until.is_reached(now))
    }

    /// The source has no other token than the refused one.
    pub(super) fn note_no_other(&mut self, refused: Arc<Grant>, now: Moment) -> Fetched {
        self.failures += 1;
        let error = no_other();
        let until = now.deadline(remembered(&error).unwrap_or_default());
        self.failed = Some(Failed { error, until, refused: Some(refused) });
        Ok(None)
    }

    pub(super) fn install(&mut self, grant: Grant, now: Moment, fetch: &Fetch) -> Token {
        if fetch.is_outdated() {
            self.generation += 1;
            return Token::new(grant, self.generation);
        }
        self.failed = None;
        let deadlines = Deadlines::of(&grant, fastrand::f64());
        if let Some(held) = self.held.as_mut().filter(|held| held.token.grant.is_same(&grant)) {
            return held.keep(grant, deadlines, now);
        }
        self.generation += 1;
        let token = Token::new(grant, self.generation);
        let (denied, retry_at, retry_denial_at) = (fetch.is_for_denial(), None, None);
        self.held = Some(Held { token: token.clone(), deadlines, retry_at, denied, retry_denial_at });
        token
    }

    pub(super) fn note_failure(&mut self, error: &Error, now: Moment, fetch: &Fetch) {
        self.failures += 1;
        match self.held.as_mut().filter(|held| !held.deadlines.hard.is_past(now)) {
            Some(held) => {
                let left = held.deadlines.hard.left(now);
                held.retry_at = Some(now.deadline(backoff(left, error.retry_after())));
                if fetch.is_for_denial() {
                    // If only the caller's time was over, the next denial has its renewal; if the failure may pass, a later one.
                    held.denied &= !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Stopped);
                    held.retry_denial_at = held.retry_at.filter(|_| error.is_retryable());
                }
            }
            None => {
                let until = remembered(error).map(|delay| now.deadline(delay));
                self.failed = until.map(|until| Failed { error: error.clone(), until, refused: None });
            }
        }
    }
}

pub(super) fn no_other() -> Error {
    let reason = "the service refused the token, and there is no other";
    Error::new(ErrorKind::Credentials, reason).advise("obtain a new one")
}
