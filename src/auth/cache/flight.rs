use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, MutexGuard};

use super::TokenCache;
use crate::auth::{Grant, Token};
use crate::error::{Error, ErrorKind};

/// One fetch under way, and its result for all who wait for it.
#[derive(Debug)]
pub(super) struct Flight {
    leader: ThreadId,
    process: u32,
    for_denial: AtomicBool,
    outcome: OnceLock<Result<Token, Error>>,
}

impl Flight {
    pub(super) fn begin(denial: bool) -> Arc<Flight> {
        Arc::new(Flight {
            leader: thread::current().id(),
            process: process::id(),
            for_denial: AtomicBool::new(denial),
            outcome: OnceLock::new(),
        })
    }

    #[cfg(test)]
    pub(super) fn of_process(process: u32) -> Arc<Flight> {
        let leader = thread::current().id();
        Arc::new(Flight { leader, process, for_denial: AtomicBool::new(false), outcome: OnceLock::new() })
    }

    pub(super) fn is_of_another_process(&self) -> bool {
        self.process != process::id()
    }

    /// What it brings counts as the renewal for a bare denial.
    pub(super) fn serves_denial(&self) {
        self.for_denial.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_for_denial(&self) -> bool {
        self.for_denial.load(Ordering::Relaxed)
    }

    pub(super) fn conclude(&self, outcome: Result<Token, Error>) {
        // Only its leader concludes it, so it is not concluded yet.
        let _ = self.outcome.set(outcome);
    }

    /// Waits under the lock, which is given up meanwhile; each waiter has its own time.
    pub(super) fn wait<S>(
        &self,
        landed: &Condvar,
        state: &mut MutexGuard<'_, S>,
        timeout: Duration,
    ) -> Result<Result<Token, Error>, Error> {
        if self.leader == thread::current().id() {
            return Err(Error::new(ErrorKind::Config, "a token source asked for the very token it was asked to fetch")
                .advise("let the source fetch it in another way"));
        }
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(outcome) = self.outcome.get() {
                return Ok(outcome.clone());
            }
            if landed.wait_until(state, deadline).timed_out() && self.outcome.get().is_none() {
                let happened = format!("another thread has been fetching a token for over {} s", timeout.as_secs());
                return Err(Error::new(ErrorKind::Timeout, happened).advise("try again"));
            }
        }
    }
}

/// Lands the flight in any case: if the fetch panics, the waiters get an error instead of waiting for ever.
pub(super) struct Landing<'c> {
    cache: &'c TokenCache,
    flight: &'c Arc<Flight>,
    has_landed: bool,
}

impl<'c> Landing<'c> {
    pub(super) fn new(cache: &'c TokenCache, flight: &'c Arc<Flight>) -> Landing<'c> {
        Landing { cache, flight, has_landed: false }
    }

    pub(super) fn land(mut self, result: Result<Grant, Error>) -> Result<Token, Error> {
        self.has_landed = true;
        self.cache.settle(self.flight, result)
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        if !self.has_landed {
            let happened = "the thread that was fetching a token for all panicked";
            let error = Error::new(ErrorKind::Unavailable, happened).advise("see its message, then try again");
            // The panic is the leader's own result.
            let _ = self.cache.settle(self.flight, Err(error));
        }
    }
}
