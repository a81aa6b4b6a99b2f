mod fetch;
mod margins;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::fetch::{Fetch, FetchGuard, Waited};
use self::margins::{Deadlines, backoff, remembered};
use super::{Grant, Token, TokenSource};
use crate::clock::{Clock, Deadline, Moment};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// Keeps a token until shortly before it expires, and lets one thread at a time fetch another.
///
/// The lock guards bookkeeping only: no I/O happens and nothing is signed under it. A thread that finds a usable token never
/// waits. A thread that finds none waits for the one that is fetching, and shares its result, errors included; but if that
/// one had less time and failed, it fetches for itself. `deadline` is always the caller's, and `None` the latest.
#[derive(Debug)]
pub(crate) struct TokenCache {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    fetched: Condvar,
    timeout: Duration,
}

impl TokenCache {
    pub(crate) fn new(source: Box<dyn TokenSource>, clock: Arc<dyn Clock>) -> TokenCache {
        TokenCache { source, clock, state: Mutex::default(), fetched: Condvar::new(), timeout: TIMEOUT }
    }

    /// The current token, renewed first if it expires soon.
    pub(crate) fn get(&self, deadline: Option<Deadline>) -> Result<Token, Error> {
        let now = self.clock.now();
        self.obtain(self.state.lock(), now, deadline)
    }

    /// The text of the token that [`get`](TokenCache::get) returns.
    pub(crate) fn bearer(&self) -> Result<Secret, Error> {
        let now = self.clock.now();
        let state = self.state.lock();
        match state.fresh(now) {
            Some(token) => Ok(token.grant.bearer.clone()),
            None => Ok(self.obtain(state, now, None)?.grant.bearer.clone()),
        }
    }

    /// A token other than the one that the service refused.
    ///
    /// It is fetched only if the refused token is still the current one: many threads refused at once cost one fetch, and a
    /// late refusal of an old token costs none.
    pub(crate) fn renew_after(&self, refused: &Token, deadline: Option<Deadline>) -> Result<Token, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.discard(refused);
        self.obtain(state, now, deadline)
    }

    /// A token other than the one for which the service denied something without saying why, a bare 403.
    ///
    /// The same token if another would not help: this one is young, or was already renewed for a denial, or comes from such
    /// a renewal. So a stream of real denials costs one fetch in a token's lifetime.
    pub(crate) fn renew_after_denial(&self, denied: &Token, deadline: Option<Deadline>) -> Result<Token, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let held = match &mut state.held {
            Some(held) if held.token.generation == denied.generation => held,
            _ => return self.obtain(state, now, deadline),
        };
        let is_young = now.age_of(held.token.grant.asked) < YOUNG && !held.deadlines.soft.is_past(now);
        if is_young || held.denied {
            return Ok(denied.clone());
        }
        held.denied = true;
        let running = state.running();
        let fetch = running.clone().unwrap_or_else(|| Fetch::begin(deadline));
        fetch.mark_for_denial();
        match running {
            Some(_) => self.share(state, deadline),
            None => self.fetch(state, fetch),
        }
    }

    /// A token fetched after this call began, whatever is held or remembered.
    pub(crate) fn refresh(&self) -> Result<Token, Error> {
        let mut state = self.state.lock();
        // A fetch that began before this call may bring a token, or an error, older than what the caller knows.
        if let Some(fetch) = state.running()
            && let Waited::GaveUp(error) = self.wait(&fetch, &mut state, None)
        {
            return Err(error);
        }
        self.share(state, None)
    }

    fn obtain(
        &self,
        mut state: MutexGuard<'_, State>,
        now: Moment,
        deadline: Option<Deadline>,
    ) -> Result<Token, Error> {
        if let Some(token) = state.fresh(now) {
            return Ok(token.clone());
        }
        let deadline = match state.usable(now) {
            Some(token) if state.running().is_some() || state.backs_off(now) => return Ok(token),
            // Time is left for the request itself if an early renewal gets no response.
            Some(_) => deadline.map(|deadline| now.deadline(deadline.left(now) / 2)),
            None if state.running().is_some() => deadline,
            None => state.remembered_failure(now).map(|()| deadline)?,
        };
        // If an early renewal fails, the current token is still valid.
        self.share(state, deadline).or_else(|error| self.state.lock().usable(self.clock.now()).ok_or(error))
    }

    /// The result of the fetch in progress, or of one by this thread.
    fn share(&self, mut state: MutexGuard<'_, State>, deadline: Option<Deadline>) -> Result<Token, Error> {
        let own = Fetch::begin(deadline);
        while let Some(fetch) = state.running() {
            match self.wait(&fetch, &mut state, deadline) {
                Waited::Finished(result) => return result,
                Waited::CutShort if fetch.is_for_denial() => own.mark_for_denial(),
                Waited::CutShort => {}
                Waited::GaveUp(error) => return Err(error),
            }
        }
        self.fetch(state, own)
    }

    /// Waits for the fetch of another thread.
    fn wait(&self, fetch: &Fetch, state: &mut MutexGuard<'_, State>, deadline: Option<Deadline>) -> Waited {
        let left = deadline.map(|deadline| deadline.left(self.clock.now()));
        let waited = fetch.wait(&self.fetched, state, left.map_or(self.timeout, |left| left.min(self.timeout)));
        let had_less_time = fetch.deadline().is_some_and(|theirs| deadline.is_none_or(|ours| theirs < ours));
        match waited {
            Waited::Finished(Err(error)) if error.is_retryable() && had_less_time => Waited::CutShort,
            waited => waited,
        }
    }

    /// Fetches in this thread. The lock is given up before anything slow happens.
    fn fetch(&self, mut state: MutexGuard<'_, State>, fetch: Arc<Fetch>) -> Result<Token, Error> {
        state.fetch = Some(Arc::clone(&fetch));
        // The source learns of a refusal once: it may return the same token when its error is forgotten, because a refusal
        // need not last.
        let refused = state.refused.take();
        drop(state);
        let guard = FetchGuard { cache: self, fetch: &fetch };
        let result = match &refused {
            Some(refused) => self.source.replace(refused, fetch.deadline()),
            None => self.source.fetch(fetch.deadline()),
        };
        // No panic: the fetch is finished below.
        mem::forget(guard);
        self.finish(&fetch, result)
    }

    /// Keeps the result of a fetch and wakes all threads that wait for it.
    fn finish(&self, fetch: &Arc<Fetch>, result: Result<Grant, Error>) -> Result<Token, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let result = match result {
            Ok(grant) => Ok(state.install(grant, now, fetch.is_for_denial())),
            Err(error) => {
                state.note_failure(&error, now);
                if error.kind() == ErrorKind::Timeout && fetch.is_for_denial() {
                    state.allow_another_for_denial();
                }
                Err(error)
            }
        };
        let is_usable = state.usable(now).is_some();
        fetch.set_result(result.clone());
        if state.fetch.as_ref().is_some_and(|current| Arc::ptr_eq(current, fetch)) {
            state.fetch = None;
        }
        self.fetched.notify_all();
        // A logger may send its records through this client, and then needs the lock.
        drop(state);
        if let (Err(error), true) = (&result, is_usable) {
            log::warn!("token renewal failed; continuing with the current token: {error}");
        }
        result
    }
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// How many different tokens there have been.
    generation: u64,
    fetch: Option<Arc<Fetch>>,
    failed: Option<Failed>,
    /// The token that the service refused, until the next fetch passes it to the source.
    refused: Option<Arc<Grant>>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    deadlines: Deadlines,
    /// No early renewal before this.
    retry_at: Option<Deadline>,
    /// A bare denial has had its renewal: of this token, or of the one before it.
    denied: bool,
}

/// A failure that is reported again instead of being provoked again.
#[derive(Debug)]
struct Failed {
    error: Error,
    until: Deadline,
}

impl Held {
    /// The source returned the same token, perhaps with a later expiry.
    fn keep(&mut self, grant: Grant, deadlines: Deadlines, now: Moment) -> Token {
        if deadlines.hard.is_after(self.deadlines.hard) {
            self.token.grant = Arc::new(grant);
            self.deadlines = deadlines;
        }
        self.retry_at = Some(now.deadline(backoff(self.deadlines.hard.left(now), None)));
        self.token.clone()
    }
}

impl State {
    fn fresh(&self, now: Moment) -> Option<&Token> {
        let held = self.held.as_ref()?;
        (!held.deadlines.soft.is_past(now)).then_some(&held.token)
    }

    fn usable(&self, now: Moment) -> Option<Token> {
        let held = self.held.as_ref()?;
        (!held.deadlines.hard.is_past(now)).then(|| held.token.clone())
    }

    fn backs_off(&self, now: Moment) -> bool {
        self.held.as_ref().and_then(|held| held.retry_at).is_some_and(|at| !at.is_reached(now))
    }

    fn remembered_failure(&self, now: Moment) -> Result<(), Error> {
        let Some(Failed { error, until }) = self.failed.as_ref().filter(|failed| !failed.until.is_reached(now)) else {
            return Ok(());
        };
        let left = error.retry_after().map(|_| until.left(now));
        Err(error.clone().with_retry_after(left))
    }

    fn running(&mut self) -> Option<Arc<Fetch>> {
        // After a fork, the thread that would finish it does not exist in this process.
        self.fetch.take_if(|fetch| fetch.is_of_another_process());
        self.fetch.clone()
    }

    fn discard(&mut self, refused: &Token) {
        if let Some(held) = self.held.take_if(|held| held.token.generation == refused.generation) {
            self.refused = Some(held.token.grant);
        }
    }

    /// The renewal for a denial ended because its caller had no more time: the next denial has one.
    fn allow_another_for_denial(&mut self) {
        if let Some(held) = &mut self.held {
            held.denied = false;
        }
    }

    fn install(&mut self, grant: Grant, now: Moment, denied: bool) -> Token {
        self.failed = None;
        self.refused.take_if(|refused| refused.bearer != grant.bearer);
        let deadlines = Deadlines::of(&grant, fastrand::f64());
        if let Some(held) = self.held.as_mut().filter(|held| held.token.grant.bearer == grant.bearer) {
            return held.keep(grant, deadlines, now);
        }
        self.generation += 1;
        let token = Token { grant: Arc::new(grant), generation: self.generation };
        self.held = Some(Held { token: token.clone(), deadlines, retry_at: None, denied });
        token
    }

    fn note_failure(&mut self, error: &Error, now: Moment) {
        match self.held.as_mut().filter(|held| !held.deadlines.hard.is_past(now)) {
            Some(held) => {
                let left = held.deadlines.hard.left(now);
                held.retry_at = Some(now.deadline(backoff(left, error.retry_after())));
            }
            None => {
                let until = remembered(error).map(|delay| now.deadline(delay));
                self.failed = until.map(|until| Failed { error: error.clone(), until });
            }
        }
    }
}

/// Longer than a fetch takes with all its retries.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A token younger than this was valid a moment ago, so a bare denial is not about it.
const YOUNG: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
