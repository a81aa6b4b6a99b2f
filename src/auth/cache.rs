mod flight;
mod margins;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::flight::{Flight, Landing};
use self::margins::{Deadlines, backoff, remembered};
use super::{Grant, Token, TokenSource};
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::secret::Secret;

/// Keeps a token until near its end, and lets one thread at a time fetch another.
///
/// The lock is for bookkeeping alone: no I/O and no signature is made under it. Whoever finds no usable token waits for the
/// thread that fetches, and shares its result, errors included; whoever finds a usable one never waits.
#[derive(Debug)]
pub(crate) struct TokenCache {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    landed: Condvar,
    timeout: Duration,
}

impl TokenCache {
    pub(crate) fn new(source: Box<dyn TokenSource>, clock: Arc<dyn Clock>) -> TokenCache {
        TokenCache { source, clock, state: Mutex::default(), landed: Condvar::new(), timeout: TIMEOUT }
    }

    /// The current token, renewed first if it is near its end.
    pub(crate) fn get(&self) -> Result<Token, Error> {
        let now = self.clock.now();
        self.obtain(self.state.lock(), now)
    }

    /// The text of [`get`](TokenCache::get) alone.
    pub(crate) fn bearer(&self) -> Result<Secret, Error> {
        let now = self.clock.now();
        let state = self.state.lock();
        match state.fresh(now) {
            Some(token) => Ok(token.grant.bearer.clone()),
            None => Ok(self.obtain(state, now)?.grant.bearer.clone()),
        }
    }

    /// A token other than the one that the service refused.
    ///
    /// It is fetched only if the refused one is still the current one, so that many threads refused at once cost one fetch
    /// and a late refusal costs none.
    pub(crate) fn renew_after(&self, refused: &Token) -> Result<Token, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.discard(refused);
        self.obtain(state, now)
    }

    /// A token other than the one for which the service denied something without saying why, a bare 403.
    ///
    /// The same token if another would not help: this one is young, or was already renewed for a denial, or comes from such
    /// a renewal. So a stream of real denials costs one fetch in a token's lifetime.
    pub(crate) fn renew_after_denial(&self, denied: &Token) -> Result<Token, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let held = match &mut state.held {
            Some(held) if held.token.generation == denied.generation => held,
            _ => return self.obtain(state, now),
        };
        let is_young = now.since(held.token.grant.asked) < YOUNG && !now.reached(held.deadlines.soft);
        if is_young || held.denied {
            return Ok(denied.clone());
        }
        held.denied = true;
        match state.running() {
            Some(flight) => {
                flight.serves_denial();
                self.join(state, &flight)
            }
            None => self.fetch(state, true),
        }
    }

    /// A token fetched after this call began, whatever is held or remembered.
    pub(crate) fn refresh(&self) -> Result<Token, Error> {
        let mut state = self.state.lock();
        if let Some(flight) = state.running() {
            // It began before this call: what it brings, token or error, may be older than what the caller knows.
            let _ = self.wait(&mut state, &flight)?;
        }
        match state.running() {
            Some(flight) => self.join(state, &flight),
            None => self.fetch(state, false),
        }
    }

    fn obtain(&self, mut state: MutexGuard<'_, State>, now: Moment) -> Result<Token, Error> {
        if let Some(token) = state.fresh(now) {
            return Ok(token.clone());
        }
        let usable = state.usable(now);
        if let Some(flight) = state.running() {
            return match usable {
                Some(token) => Ok(token),
                None => self.join(state, &flight),
            };
        }
        match usable {
            Some(token) if state.backs_off(now) => return Ok(token),
            Some(_) => {}
            None => state.failure(now)?,
        }
        // A failed early renewal is no reason to stop working with a token that is still good.
        self.fetch(state, false).or_else(|error| self.state.lock().usable(self.clock.now()).ok_or(error))
    }

    /// Elects this thread; the lock is given up before anything slow happens.
    fn fetch(&self, mut state: MutexGuard<'_, State>, denial: bool) -> Result<Token, Error> {
        let flight = Flight::begin(denial);
        state.flight = Some(Arc::clone(&flight));
        // Told once: a source that has no other may hand it out again when its error is forgotten, for a refusal need not last.
        let refused = state.refused.take();
        drop(state);
        let landing = Landing::new(self, &flight);
        let result = match &refused {
            Some(refused) => self.source.replace(refused),
            None => self.source.fetch(),
        };
        landing.land(result)
    }

    fn join(&self, mut state: MutexGuard<'_, State>, flight: &Flight) -> Result<Token, Error> {
        self.wait(&mut state, flight)?
    }

    /// The flight's result, or an error of waiting for it.
    fn wait(&self, state: &mut MutexGuard<'_, State>, flight: &Flight) -> Result<Result<Token, Error>, Error> {
        flight.wait(&self.landed, state, self.timeout)
    }

    /// Ends a flight: notes its result, then wakes everybody who waits for it.
    fn settle(&self, flight: &Arc<Flight>, result: Result<Grant, Error>) -> Result<Token, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let outcome = result.map(|grant| state.install(grant, now, flight.is_for_denial()));
        if let Err(error) = &outcome {
            state.note_failure(error, now);
        }
        let serves_on = state.usable(now).is_some();
        flight.conclude(outcome.clone());
        if state.flight.as_ref().is_some_and(|current| Arc::ptr_eq(current, flight)) {
            state.flight = None;
        }
        self.landed.notify_all();
        drop(state);
        // Not under the lock: a logger may well send what it gets through this very client.
        if let (Err(error), true) = (&outcome, serves_on) {
            log::warn!("a token could not be renewed, the current one serves on: {error}");
        }
        outcome
    }
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// How many different tokens there have been.
    generation: u64,
    flight: Option<Arc<Flight>>,
    failed: Option<Failed>,
    /// What the service refused, until the source has been told.
    refused: Option<Arc<Grant>>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    deadlines: Deadlines,
    /// No early renewal before.
    retry_at: Option<Moment>,
    /// A bare denial has had its renewal, this token's or the one that led to it.
    denied: bool,
}

/// A failure that is told again instead of being provoked again.
#[derive(Debug)]
struct Failed {
    error: Error,
    until: Moment,
}

impl Held {
    /// The source has no other than this one, perhaps good for longer.
    fn again(&mut self, grant: Grant, deadlines: Deadlines, now: Moment) -> Token {
        if deadlines.hard.monotonic > self.deadlines.hard.monotonic {
            self.token.grant = Arc::new(grant);
            self.deadlines = deadlines;
        }
        self.retry_at = Some(now.after(backoff(now.until(self.deadlines.hard), None)));
        self.token.clone()
    }
}

impl State {
    fn fresh(&self, now: Moment) -> Option<&Token> {
        let held = self.held.as_ref()?;
        (!now.reached(held.deadlines.soft)).then_some(&held.token)
    }

    fn usable(&self, now: Moment) -> Option<Token> {
        let held = self.held.as_ref()?;
        (!now.reached(held.deadlines.hard)).then(|| held.token.clone())
    }

    fn backs_off(&self, now: Moment) -> bool {
        self.held.as_ref().and_then(|held| held.retry_at).is_some_and(|at| !now.reached(at))
    }

    fn failure(&self, now: Moment) -> Result<(), Error> {
        let Some(Failed { error, until }) = self.failed.as_ref().filter(|failed| !now.reached(failed.until)) else {
            return Ok(());
        };
        let left = error.retry_after().map(|_| now.until(*until));
        Err(error.clone().with_retry_after(left))
    }

    fn running(&mut self) -> Option<Arc<Flight>> {
        // In a forked process there is no thread that would land it.
        self.flight.take_if(|flight| flight.is_of_another_process());
        self.flight.clone()
    }

    fn discard(&mut self, refused: &Token) {
        if let Some(held) = self.held.take_if(|held| held.token.generation == refused.generation) {
            self.refused = Some(held.token.grant);
        }
    }

    fn install(&mut self, grant: Grant, now: Moment, denied: bool) -> Token {
        self.failed = None;
        self.refused.take_if(|refused| refused.bearer != grant.bearer);
        let deadlines = Deadlines::of(&grant, fastrand::f64());
        if let Some(held) = self.held.as_mut().filter(|held| held.token.grant.bearer == grant.bearer) {
            return held.again(grant, deadlines, now);
        }
        self.generation += 1;
        let token = Token { grant: Arc::new(grant), generation: self.generation };
        self.held = Some(Held { token: token.clone(), deadlines, retry_at: None, denied });
        token
    }

    fn note_failure(&mut self, error: &Error, now: Moment) {
        match self.held.as_mut().filter(|held| !now.reached(held.deadlines.hard)) {
            Some(held) => {
                let left = now.until(held.deadlines.hard);
                held.retry_at = Some(now.after(backoff(left, error.retry_after())));
            }
            None => {
                let until = remembered(error).map(|delay| now.after(delay));
                self.failed = until.map(|until| Failed { error: error.clone(), until });
            }
        }
    }
}

/// Longer than a fetch takes with all its retries.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A token younger than this was good a moment ago: a bare denial does not concern it.
const YOUNG: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
