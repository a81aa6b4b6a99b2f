use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};

use super::TokenCache;
use crate::auth::Token;
use crate::clock::Deadline;
use crate::error::{Error, ErrorKind};

/// A fetch in progress, and its result for all threads that wait for it.
#[derive(Debug)]
pub(super) struct Fetch {
    thread: ThreadId,
    process: u32,
    for_denial: AtomicBool,
    /// Of the caller that fetches; `None` is the latest.
    deadline: Option<Deadline>,
    result: OnceLock<Result<Token, Error>>,
}

/// How waiting for another thread's fetch ended.
pub(super) enum Waited {
    Finished(Result<Token, Error>),
    /// It failed, and the thread that fetched had less time than this one.
    CutShort,
    GaveUp(Error),
}

impl Fetch {
    /// A fetch by this thread.
    pub(super) fn begin(deadline: Option<Deadline>) -> Arc<Fetch> {
        Fetch::in_process(process::id(), deadline)
    }

    pub(super) fn in_process(process: u32, deadline: Option<Deadline>) -> Arc<Fetch> {
        let thread = thread::current().id();
        Arc::new(Fetch { thread, process, for_denial: AtomicBool::new(false), deadline, result: OnceLock::new() })
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.deadline
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

    pub(super) fn set_result(&self, result: Result<Token, Error>) {
        // Only the thread that began it sets the result, once.
        let _ = self.result.set(result);
    }

    /// Gives up the lock on the state while it waits. Every waiting thread has a timeout of its own.
    pub(super) fn wait<S>(&self, fetched: &Condvar, state: &mut MutexGuard<'_, S>, timeout: Duration) -> Waited {
        if self.thread == thread::current().id() {
            let reason = "a token source asked its own cache for the token that it is to fetch";
            return Waited::GaveUp(Error::new(ErrorKind::Config, reason).advise("fetch it without the cache"));
        }
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(result) = self.result.get() {
                return Waited::Finished(result.clone());
            }
            if fetched.wait_until(state, deadline).timed_out() && self.result.get().is_none() {
                let reason = format!("another thread was still fetching the token after {timeout:.1?}");
                return Waited::GaveUp(Error::new(ErrorKind::Timeout, reason).advise("wait longer, or try again"));
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
        let _ = self.cache.finish(self.fetch, Err(error));
    }
}
