use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};

use super::TokenCache;
use crate::auth::Token;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::http::Limits;
use crate::stop::Stop;

/// A fetch in progress, and its result for all threads that wait for it.
#[derive(Debug)]
pub(super) struct Fetch {
    thread: ThreadId,
    process: u32,
    for_denial: AtomicBool,
    /// A token was refused after it began: what it brings may be as old as the refused one.
    outdated: AtomicBool,
    /// Of the call that fetches.
    limits: Limits,
    result: OnceLock<Fetched>,
}

/// A token, or `None` if there is no other than the refused one.
pub(super) type Fetched = Result<Option<Token>, Error>;

/// How waiting for another thread's fetch ended.
pub(super) enum Waited {
    Finished(Fetched),
    /// It failed, and the call that fetched had less time than this one; or a token was refused while it went on.
    Unusable,
    GaveUp(Error),
}

impl Fetch {
    /// A fetch by this thread.
    pub(super) fn begin(limits: Limits) -> Arc<Fetch> {
        Fetch::in_process(process::id(), limits)
    }

    pub(super) fn in_process(process: u32, limits: Limits) -> Arc<Fetch> {
        Arc::new(Fetch {
            thread: thread::current().id(),
            process,
            for_denial: AtomicBool::default(),
            outdated: AtomicBool::default(),
            limits,
            result: OnceLock::new(),
        })
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// Whether it failed for lack of time, of which a call with these limits has more, or for a stop that does not concern it.
    pub(super) fn may_go_better(&self, error: &Error, limits: &Limits, now: Moment) -> bool {
        if error.kind() == ErrorKind::Stopped {
            return !limits.stop.is_stopped();
        }
        let may_ask = error.kind() == ErrorKind::Timeout || error.retry_after().is_none();
        error.is_retryable() && may_ask && self.had_less_time_than(limits, now)
    }

    /// Whether a failure now may be due to its limits, and a call with these ones has more time.
    fn had_less_time_than(&self, limits: &Limits, now: Moment) -> bool {
        let is_sooner = match (self.limits.deadline, limits.deadline) {
            (Some(ours), Some(theirs)) => ours < theirs,
            (ours, _) => ours.is_some(),
        };
        is_sooner || limits.retries.left(now) > self.limits.retries.left(now) + AT_ONCE
    }

    pub(super) fn is_of_another_process(&self) -> bool {
        self.process != process::id()
    }

    /// Its token counts as the one renewal for a bare denial.
    pub(super) fn mark_for_denial(&self) {
        self.for_denial.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_for_denial(&self) -> bool {
        self.for_denial.load(Ordering::Relaxed)
    }

    /// Only the thread that fetches uses its token.
    pub(super) fn mark_outdated(&self) {
        self.outdated.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    pub(super) fn set_result(&self, result: Fetched) {
        // Only the thread that began it sets the result, once.
        let _ = self.result.set(result);
    }

    /// Gives up the lock on the state while it waits. Without a timeout it waits for the end: the limits of the call that
    /// fetches bound it. A stop ends it in any case.
    pub(super) fn wait<S>(
        &self,
        fetched: &Condvar,
        state: &mut MutexGuard<'_, S>,
        timeout: Option<Duration>,
        stop: &Stop,
    ) -> Waited {
        if self.thread == thread::current().id() {
            let reason = "a token source asked its own cache for the token that it is to fetch";
            return Waited::GaveUp(Error::new(ErrorKind::Config, reason).advise("fetch it without the cache"));
        }
        let timeout = timeout.map(|timeout| (timeout, Instant::now() + timeout));
        loop {
            if let Some(result) = self.result.get() {
                return Waited::Finished(result.clone());
            }
            if let Err(error) = stop.check() {
                return Waited::GaveUp(error);
            }
            if let Some((timeout, end)) = timeout
                && Instant::now() >= end
            {
                let reason = format!("another thread was still fetching the token after {timeout:.1?}");
                return Waited::GaveUp(Error::new(ErrorKind::Timeout, reason).advise("wait longer, or try again"));
            }
            let next_look = stop.look_after().map(|pause| Instant::now() + pause);
            match timeout.map(|(_, end)| end).into_iter().chain(next_look).min() {
                Some(until) => _ = fetched.wait_until(state, until),
                None => fetched.wait(state),
            }
        }
    }
}

/// Finishes the fetch if it panics, so that waiting threads get an error instead of waiting until they time out.
pub(super) struct FetchGuard<'c> {
    pub(super) cache: &'c TokenCache,
    pub(super) fetch: &'c Arc<Fetch>,
}

impl Drop for FetchGuard<'_> {
    fn drop(&mut self) {
        let reason = "the thread that was fetching the token for all threads panicked";
        let error = Error::new(ErrorKind::Unavailable, reason).advise("see its message, then try again");
        // The thread itself goes on panicking.
        let _ = self.cache.finish(self.fetch, None, Err(error));
    }
}

/// Calls that begin within this time of each other began at once: the failure of one is that of all.
const AT_ONCE: Duration = Duration::from_secs(1);
