mod fetch;
mod margins;
mod state;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::fetch::{Fetch, FetchGuard, Fetched, Waited};
use self::margins::remembered;
use self::state::{Failed, State, no_other};
use super::{Grant, Token, TokenSource};
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::http::Limits;
use crate::secret::Secret;

/// Keeps a token until shortly before it expires, and lets one thread at a time fetch another.
///
/// The lock guards bookkeeping only: no I/O happens and nothing is signed under it. A thread that finds a usable token never
/// waits. A thread that finds none waits for the one that is fetching, and shares its result, errors included; but if that
/// one had less time and failed, it fetches for itself. `limits` are always those of the call that needs the token.
#[derive(Debug)]
pub(crate) struct TokenCache {
    source: Box<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    fetched: Condvar,
}

impl TokenCache {
    pub(crate) fn new(source: Box<dyn TokenSource>, clock: Arc<dyn Clock>) -> TokenCache {
        TokenCache { source, clock, state: Mutex::default(), fetched: Condvar::new() }
    }

    /// Whom the tokens claim to be at present, where that can change.
    pub(crate) fn identity(&self) -> Option<String> {
        self.source.identity()
    }

    /// The current token, renewed first if it expires soon.
    pub(crate) fn get(&self, limits: Limits) -> Result<Token, Error> {
        let now = self.clock.now();
        self.obtain(self.state.lock(), now, limits)?.ok_or_else(no_other)
    }

    /// The text of the token that [`get`](TokenCache::get) returns. The limits are asked for only if it must be fetched.
    pub(crate) fn bearer(&self, limits: impl FnOnce() -> Limits) -> Result<Secret, Error> {
        let now = self.clock.now();
        let state = self.state.lock();
        if let Some(token) = state.fresh(now) {
            return Ok(token.grant.bearer.clone());
        }
        drop(state);
        Ok(self.get(limits())?.grant.bearer.clone())
    }

    /// A token other than the one that the service refused; `None` if there is no other.
    ///
    /// It is fetched only if the refused token is still the current one: many threads refused at once cost one fetch, and a
    /// late refusal of an old token costs none. `None` also if another would hardly help, and costs a server a request: the
    /// refused token was itself fetched for a refused one a moment ago, and not accepted since.
    pub(crate) fn renew_after(&self, refused: &Token, limits: Limits) -> Result<Option<Token>, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.is_on_trial(refused, now) {
            return Ok(None);
        }
        state.discard(refused);
        if state.has_no_other(now) {
            return Ok(None);
        }
        self.obtain(state, now, limits)
    }

    /// A token other than the one for which the service denied something without saying why, a bare 403.
    ///
    /// `None` also if another would not help: this one is young, or was already renewed for a denial, or comes from such a
    /// renewal. So a stream of real denials costs one fetch in a token's lifetime.
    pub(crate) fn renew_after_denial(&self, denied: &Token, limits: Limits) -> Result<Option<Token>, Error> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let held = match &mut state.held {
            Some(held) if held.token.generation == denied.generation => held,
            _ => return self.obtain(state, now, limits),
        };
        let young = YOUNG.min(held.token.grant.lifetime / 2);
        let is_young = now.age_of(held.token.grant.asked) < young && !held.deadlines.soft.is_past(now);
        let had_its_renewal = held.denied && held.retry_denial_at.take_if(|at| at.is_reached(now)).is_none();
        held.denied |= !is_young;
        let running = state.running();
        // Threads that are denied at once share the one renewal.
        let is_being_renewed = running.as_ref().is_some_and(|fetch| fetch.is_for_denial());
        if is_young || had_its_renewal && !is_being_renewed {
            return Ok(None);
        }
        let renewed = match running {
            Some(fetch) => {
                fetch.mark_for_denial();
                drop(fetch);
                self.share(state, limits)?
            }
            None => {
                let fetch = Fetch::begin(limits);
                fetch.mark_for_denial();
                self.fetch(state, fetch)?
            }
        };
        Ok(renewed.filter(|renewed| renewed.generation != denied.generation))
    }

    /// The service did for this token what it denied to the one before: the denial was about that token, and this one may be
    /// renewed for a denial again.
    pub(crate) fn note_accepted(&self, renewed: &Token) {
        let mut state = self.state.lock();
        if let Some(held) = state.held.as_mut().filter(|held| held.token.generation == renewed.generation) {
            (held.denied, held.token.trial) = (false, None);
        }
    }

    /// The service did something for this token: if it refuses it later, that is something new, and worth a renewal.
    pub(crate) fn end_trial(&self, accepted: &Token) {
        if accepted.trial.is_none() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(held) = state.held.as_mut().filter(|held| held.token.generation == accepted.generation) {
            held.token.trial = None;
        }
    }

    /// What the service said of a token that has no replacement: callers get it as long as the refusal is remembered.
    pub(crate) fn note_refusal(&self, refused: &Token, error: &Error) {
        let mut state = self.state.lock();
        let of_it = |failed: &Failed| failed.refused.as_ref().is_some_and(|grant| Arc::ptr_eq(grant, &refused.grant));
        if let Some(failed) = state.failed.as_mut().filter(|failed| of_it(failed)) {
            match remembered(error) {
                Some(_) => failed.error = error.clone(),
                // A connection that broke looked like a refusal.
                None => state.failed = None,
            }
        }
    }

    /// A token fetched after this call began, whatever is held or remembered.
    pub(crate) fn refresh(&self, limits: Limits) -> Result<Token, Error> {
        let mut state = self.state.lock();
        // A fetch that began before this call may bring a token, or an error, older than what the caller knows.
        if let Some(fetch) = state.running()
            && let Waited::GaveUp(error) = self.wait(&fetch, &mut state, &limits)
        {
            return Err(error);
        }
        self.share(state, limits)?.ok_or_else(no_other)
    }

    fn obtain(&self, mut state: MutexGuard<'_, State>, now: Moment, limits: Limits) -> Result<Option<Token>, Error> {
        if let Some(token) = state.fresh(now) {
            return Ok(Some(token.clone()));
        }
        let limits = match state.usable(now) {
            Some(token) if state.running().is_some() || state.backs_off(now) => return Ok(Some(token)),
            // Time is left for the request itself if an early renewal gets no response.
            Some(_) => limits.half(now),
            None if state.running().is_some() => limits,
            None => state.remembered_failure(now).map(|()| limits)?,
        };
        // If an early renewal fails, the current token is still valid.
        self.share(state, limits).or_else(|error| self.state.lock().usable(self.clock.now()).map(Some).ok_or(error))
    }

    /// The result of the fetch in progress, or of one by this thread.
    fn share(&self, mut state: MutexGuard<'_, State>, limits: Limits) -> Fetched {
        let (own, generation, failures) = (Fetch::begin(limits.clone()), state.generation, state.failures);
        while let Some(fetch) = state.running() {
            match self.wait(&fetch, &mut state, &limits) {
                Waited::Finished(result) => return result,
                Waited::GaveUp(error) => return Err(error),
                Waited::Unusable if fetch.is_for_denial() => own.mark_for_denial(),
                Waited::Unusable => {}
            }
            // Another thread may have made the next fetch before this one got the lock again.
            if let Some(result) = state.result_since(generation, failures, self.clock.now()) {
                return result;
            }
        }
        self.fetch(state, own)
    }

    /// Waits for the fetch of another thread.
    fn wait(&self, fetch: &Fetch, state: &mut MutexGuard<'_, State>, limits: &Limits) -> Waited {
        let left = limits.deadline.map(|deadline| deadline.left(self.clock.now()));
        match fetch.wait(&self.fetched, state, left, &limits.stop) {
            Waited::Finished(Ok(_)) if fetch.is_outdated() => Waited::Unusable,
            Waited::Finished(Err(error)) if fetch.may_go_better(&error, limits, self.clock.now()) => Waited::Unusable,
            waited => waited,
        }
    }

    /// Fetches in this thread. The lock is given up before anything slow happens.
    fn fetch(&self, mut state: MutexGuard<'_, State>, fetch: Arc<Fetch>) -> Fetched {
        state.fetch = Some(Arc::clone(&fetch));
        // The source learns of a refusal once: it may return the same token when its error is forgotten, because a refusal
        // need not last.
        let refused = state.refused.take();
        drop(state);
        let guard = FetchGuard { cache: self, fetch: &fetch };
        let result = match &refused {
            Some(refused) => self.source.replace(refused, fetch.limits()),
            None => self.source.fetch(fetch.limits()).map(Some),
        };
        // No panic: the fetch is finished below.
        mem::forget(guard);
        self.finish(&fetch, refused, result)
    }

    /// Keeps the result of a fetch and wakes all threads that wait for it.
    fn finish(&self, fetch: &Arc<Fetch>, refused: Option<Arc<Grant>>, result: Result<Option<Grant>, Error>) -> Fetched {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let result = match (result, refused) {
            (Ok(Some(grant)), Some(refused)) if grant.is_same(&refused) => state.note_no_other(refused, now),
            (Ok(Some(grant)), refused) => {
                let token = state.install(grant, now, fetch);
                let is_suspect = refused.is_some() && self.source.asks_a_server();
                Ok(Some(if is_suspect { state.put_on_trial(token, now) } else { token }))
            }
            (Ok(None), Some(refused)) => state.note_no_other(refused, now),
            (Ok(None), None) => Ok(None),
            (Err(error), refused) => {
                if remembered(&error).is_none() {
                    state.refused = state.refused.take().or(refused);
                }
                state.note_failure(&error, now, fetch);
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

/// A token younger than this was valid a moment ago, so a bare denial is not about it.
const YOUNG: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
