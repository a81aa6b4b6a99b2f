mod chaos;
mod deadlines;
mod lifetimes;
mod refusals;
mod renewals;
mod sharing;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};
use std::thread;

use super::*;
use crate::clock::{FakeClock, SystemClock};
use crate::error::ErrorKind;
use crate::http::Origin;

type Script = dyn Fn(u32) -> Result<Grant, Error> + Send + Sync;

/// A source that counts its fetches and makes each result by the script.
struct Scripted {
    fetches: Arc<AtomicU32>,
    script: Box<Script>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl TokenSource for Scripted {
    fn fetch(&self, _limits: Limits) -> Result<Grant, Error> {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        (self.script)(number)
    }
}

/// The same, whose every token costs a server a request.
#[derive(Debug)]
struct Served(Scripted);

impl TokenSource for Served {
    fn fetch(&self, limits: Limits) -> Result<Grant, Error> {
        self.0.fetch(limits)
    }

    fn asks_a_server(&self) -> bool {
        true
    }
}

/// A cache with a fake clock around it.
struct Bench {
    cache: Arc<TokenCache>,
    clock: Arc<FakeClock>,
    fetches: Arc<AtomicU32>,
}

impl Bench {
    /// Every token has this lifetime.
    fn with_lifetime(lifetime: Duration) -> Bench {
        let clock = Arc::new(FakeClock::new());
        let ours = Arc::clone(&clock);
        Bench::scripted(clock, move |number| Ok(grant(&*ours, number, lifetime)))
    }

    fn scripted(clock: Arc<FakeClock>, script: impl Fn(u32) -> Result<Grant, Error> + Send + Sync + 'static) -> Bench {
        let fetches = Arc::new(AtomicU32::new(0));
        let source = Scripted { fetches: Arc::clone(&fetches), script: Box::new(script) };
        let cache = Arc::new(TokenCache::new(Box::new(source), clock.clone()));
        Bench { cache, clock, fetches }
    }

    /// Every token has this lifetime, and comes from a server.
    fn served(lifetime: Duration) -> Bench {
        let (clock, fetches) = (Arc::new(FakeClock::new()), Arc::new(AtomicU32::new(0)));
        let ours = Arc::clone(&clock);
        let script: Box<Script> = Box::new(move |number| Ok(grant(&*ours, number, lifetime)));
        let source = Served(Scripted { fetches: Arc::clone(&fetches), script });
        let cache = Arc::new(TokenCache::new(Box::new(source), clock.clone()));
        Bench { cache, clock, fetches }
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Returns when this many threads wait for the fetch: each holds it, as do the fetching thread and the state.
    fn wait_for_waiters(&self, waiters: usize) {
        while self.cache.state.lock().fetch.as_ref().map_or(0, Arc::strong_count) < waiters + 2 {
            thread::yield_now();
        }
    }
}

/// Closed at first; a thread that passes waits until it is opened.
#[derive(Clone, Default)]
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn open(&self) {
        *self.open.0.lock() = true;
        self.open.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.open.0.lock();
        while !*open {
            self.open.1.wait(&mut open);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn grant(clock: &dyn Clock, number: u32, lifetime: Duration) -> Grant {
    let origin = Origin::parse("https://a.example", "test URL").unwrap();
    Grant { bearer: format!("token-{number}").into(), origin, lifetime, asked: clock.now(), reread_after: None }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "no response")
}

fn in_threads<T: Send>(count: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
